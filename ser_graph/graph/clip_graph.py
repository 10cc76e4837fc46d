"""`ClipGraph`: the corpus as one PyG `Data`, with the clip table beside it."""

import difflib
from typing import Any

import pandas as pd
from torch import Tensor
from torch_geometric.data import Data

from ser_graph.errors import InputError


class ClipGraph(Data):
    """A PyG `Data` whose N nodes are clips and whose E edges run from a neighbour to its seed.

    Attributes:
        x: [N, n_frames, n_mels] float16 or float32 log-mel spectrograms as measured.
        emb: [N, D] float32 upstream embeddings.
        y: [N] int64 emotion codes, -1 = unknown; likewise `speaker` and `gender`.
        train_mask: [N] bool; likewise `val_mask` and `test_mask`. The table says train, dev, test.
        edge_index: [2, E] int64, neighbour -> seed; sorted by seed, then descending similarity.
        edge_weight: [E] float32 cosine similarity.
        num_nodes: N.
        table: the clip table, a row per node in node order. Not a PyG attribute: names stay out of batches.
        meta: how the graph was made, and the names behind the codes (``meta["names"]["emotion"]``).
    """

    @property
    def table(self) -> pd.DataFrame:
        """The clip table, a row per node in node order."""
        return self.__dict__["_table"]

    @table.setter
    def table(self, table: pd.DataFrame) -> None:
        self.__dict__["_table"] = table

    @property
    def meta(self) -> dict[str, Any]:
        """How the graph was made."""
        return self.__dict__["_meta"]

    @meta.setter
    def meta(self, meta: dict[str, Any]) -> None:
        self.__dict__["_meta"] = meta

    @property
    def emotions(self) -> list[str]:
        """The emotion names in code order."""
        return self.meta["names"]["emotion"]

    def node(self, file: str) -> int:
        """The number of the node of a clip.

        Raises:
            InputError: no such clip; the nearest names are in the message.
        """
        if file in self.table.index:
            return self.table.index.tolist().index(file)
        near = difflib.get_close_matches(str(file), map(str, self.table.index), n=3, cutoff=0.5)
        hint = f"; near it are {near}" if near else f", expected one of its {self.num_nodes:,} files"
        raise InputError(f"No clip {file!r} in the graph{hint}")

    def degrees(self) -> Tensor:
        """[N] int64 number of neighbours of every clip (in-edges)."""
        return self.edge_index[1].bincount(minlength=self.num_nodes)
