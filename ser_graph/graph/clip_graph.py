"""`ClipGraph`: the corpus as one PyG `Data`, with its clip table."""

import copy
import difflib
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce

from ser_graph.corpora.joining import OTHER_EMOTION
from ser_graph.errors import InputError
from ser_graph.graph.agreement import TIED, AgreedTable, clip_numbers, encode, names_of
from ser_graph.graph.meta import GraphMeta

_DTYPES = {
    "x": (torch.float16, torch.float32),
    "emb": (torch.float32,),
    **{name: (torch.bool,) if name.endswith("_mask") else (torch.int64,) for name in TIED},
    "edge_index": (torch.int64,),
    "edge_weight": (torch.float32,),
}
TENSORS = tuple(_DTYPES)
"""The names of a graph's tensors."""


def check_is_graph(data: object) -> None:
    """Refuse what is no graph, and name the call that gives one.

    Examples:
        >>> check_is_graph("graphs/emovo")
        Traceback (most recent call last):
        ...
        ser_graph_runtime.errors.InputError: Bad graph 'graphs/emovo', expected a ClipGraph; load the folder first:
        sg.load_graph('graphs/emovo')
    """
    if isinstance(data, ClipGraph):
        return
    if isinstance(data, str | Path):
        raise InputError(
            f"Bad graph {str(data)!r}, expected a ClipGraph; load the folder first: sg.load_graph({str(data)!r})"
        )
    way_out = "build one: sg.build_graph(table, upstream)"
    raise InputError(f"Bad graph of type {type(data).__name__}, expected a ClipGraph; {way_out}")


def check_no_clip_twice(table: pd.DataFrame) -> None:
    """Refuse a table with two rows for a clip."""
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"The clip {twice} is in the table twice; keep one row per clip")


class ClipGraph(Data):
    """A PyG `Data` whose N nodes are clips and whose E edges run from a neighbour to its seed.

    Attributes:
        x: [N, n_frames, n_mels] float16 or float32 log-mel spectrograms as measured.
        emb: [N, D] float32 upstream embeddings.
        y: [N] int64 emotion codes, -1 = unknown or hidden; likewise `speaker` and `gender`.
        train_mask: [N] bool; likewise `val_mask` and `test_mask`. The table says train, dev, test.
        clip: [N] int64, a hash of each clip's file name. It ties nodes to rows of the table.
        edge_index: [2, E] int64, neighbour -> seed; sorted by seed, then descending similarity.
        edge_weight: [E] float32 cosine similarity.
        num_nodes: N.
        table: the clip table, a row per node in node order. Not a PyG attribute: names stay out of batches.
        meta: how the graph was made, and the names behind the codes (``meta.names["emotion"]``). It is frozen; a
            change is ``data.meta = data.meta.replace(corpus="emovo")``.

    The table follows changes of the nodes by PyG: ``data.subgraph(rows)`` has the rows of its clips, and after
    ``RandomNodeSplit`` the column `split` agrees with the masks. If the table cannot follow, e.g. because a node is
    not a clip or `y` contains wrong codes, reading the table raises an `InputError`.
    """

    @property
    def table(self) -> pd.DataFrame:
        """The clip table, a row per node in node order.

        Columns can be added in place. To change emotions, speakers, genders or splits, assign a whole table:
        ``data.table = data.table.assign(split=...)``. This sets codes and masks too.

        Raises:
            InputError: the tensors contradict the table, or its rows were changed in place.
        """
        agreed: AgreedTable = self._beside("_agreed", "clip table")
        tensors = {name: self._node_tensor(name) for name in TIED}
        try:
            now = agreed.follow(tensors, self.meta.names, self._edges())
        except InputError:
            if agreed.is_edited():
                self.__dict__["_agreed"] = agreed.put_back()
            raise
        self.__dict__["_agreed"] = now
        return now.table

    @table.setter
    def table(self, table: pd.DataFrame) -> None:
        if len(table) != self.num_nodes:
            raise InputError(f"The table has {len(table)} rows, expected {self.num_nodes}, one for each node")
        check_no_clip_twice(table)
        known: GraphMeta = self.__dict__.get("_meta", GraphMeta())
        names = names_of(table, known.names)
        tensors = {"clip": clip_numbers(table.index), **encode(table, names)}
        for name, tensor in tensors.items():
            self[name] = tensor
        self.meta = known.replace(names=names)
        self.__dict__["_agreed"] = AgreedTable.of(table, tensors, names, self._edges())

    @property
    def meta(self) -> GraphMeta:
        """How the graph was made."""
        return self._beside("_meta", "meta")

    @meta.setter
    def meta(self, meta: GraphMeta) -> None:
        if not isinstance(meta, GraphMeta):
            raise InputError(
                f"Bad meta of type {type(meta).__name__}, expected a GraphMeta, e.g. "
                "data.meta.replace(corpus='emovo')"
            )
        self.__dict__["_meta"] = meta

    @property
    def emotions(self) -> list[str]:
        """The emotion names in code order."""
        return self.meta.names["emotion"]

    @property
    def other_y(self) -> Tensor:
        """[N] int64 codes of the emotions that only the teacher's probe may learn, -1 elsewhere: `join_corpora`."""
        table = self.table
        if OTHER_EMOTION not in table:
            return torch.full((len(table),), -1)
        codes = {name: code for code, name in enumerate(self.emotions)}
        return torch.from_numpy(table[OTHER_EMOTION].map(codes).fillna(-1).to_numpy("int64", copy=True))

    def node(self, file: str) -> int:
        """The number of the node of a clip.

        Raises:
            InputError: no such clip; the message contains similar names.
        """
        table = self.table
        if file in table.index:
            return table.index.tolist().index(file)
        near = difflib.get_close_matches(str(file), map(str, table.index), n=3, cutoff=0.5)
        hint = f"; similar names are {near}" if near else f", expected one of its {self.num_nodes:,} files"
        raise InputError(f"No clip {file!r} in the graph{hint}")

    @property
    def num_classes(self) -> int:
        """Number of emotions."""
        return len(self.emotions)

    @property
    def num_node_features(self) -> int:
        """Number of dimensions of `emb`, the features for a GNN; `x` has a spectrogram for each node."""
        emb = self.get("emb")
        return super().num_node_features if emb is None else emb.shape[1]

    def degrees(self) -> Tensor:
        """[N] int64 number of neighbours of every clip (in-edges)."""
        return self.edge_index[1].bincount(minlength=self.num_nodes)

    def check(self) -> None:
        """Refuse a graph whose tensors do not fit each other or the clip table. No spectrogram is read.

        Raises:
            InputError: a tensor is missing or has a wrong type, rank or length; an edge leads to a missing node;
                the spectrograms do not fit their settings; codes or masks contradict the table; or a clip is there
                twice. The message names the tensor or clip.
        """
        self.check_tensors()
        files = self.table.index
        if files.has_duplicates:
            raise InputError(f"The clip {files[files.duplicated()][0]} is two nodes; keep one node per clip")

    def check_tensors(self) -> None:
        """The part of `check` that needs no clip table."""
        for name, dtypes in _DTYPES.items():
            self._check_type(name, dtypes)
        for name in ("x", "emb", *TIED):
            self._check_shape(name, self.num_nodes, {"x": 3, "emb": 2}.get(name, 1))
        self._check_edges()
        self._check_frames()

    def clone(self, *args: str) -> "ClipGraph":
        """A deep copy of tensors, clip table and meta."""
        out = super().clone(*args)
        beside = {name: value for name, value in out.__dict__.items() if name in ("_agreed", "_meta")}
        out.__dict__.update(copy.deepcopy(beside))
        return out

    def coalesce(self) -> "ClipGraph":
        """A shallow copy with sorted edges, each once, with its largest weight; PyG's method drops the weight."""
        out = copy.copy(self)
        out.edge_index, out.edge_weight = coalesce(
            self.edge_index, self.edge_weight, num_nodes=self.num_nodes, reduce="max"
        )
        return out

    def _edges(self) -> tuple[Tensor | None, Tensor | None]:
        return self.get("edge_index"), self.get("edge_weight")

    def _beside(self, name: str, what: str) -> Any:
        if name not in self.__dict__:
            raise InputError(
                f"This graph has no {what}: PyG's Batch, collate and to_dict keep only tensors; read it from the "
                "original graph"
            )
        return self.__dict__[name]

    def _node_tensor(self, name: str) -> Tensor:
        """A tensor of `TIED`, on the CPU."""
        self._check_type(name, _DTYPES[name])
        self._check_shape(name, self.num_nodes, 1)
        return self[name].cpu()

    def _check_type(self, name: str, dtypes: tuple[torch.dtype, ...]) -> None:
        tensor, expected = self.get(name), " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        if not isinstance(tensor, Tensor):
            found = "missing" if tensor is None else type(tensor).__name__
            raise InputError(f"{name} of the graph is {found}, expected a tensor of {expected}")
        if tensor.dtype not in dtypes:
            found = str(tensor.dtype).removeprefix("torch.")
            raise InputError(f"{name} of the graph is {found}, expected {expected}")

    def _check_shape(self, name: str, rows: int | None, rank: int) -> None:
        shape = tuple(self[name].shape)
        if len(shape) != rank or shape[0] != rows:
            raise InputError(
                f"{name} of the graph is {list(shape)}, expected {rank} dimensions, the first of {rows}"
            )

    def _check_edges(self) -> None:
        edge_index, shape = self.edge_index, tuple(self.edge_index.shape)
        if len(shape) != 2 or shape[0] != 2:
            raise InputError(f"edge_index of the graph is {list(shape)}, expected [2, number of edges]")
        self._check_shape("edge_weight", shape[1], 1)
        if "edge_attr" in self:
            raise InputError("The graph has edge_attr and edge_weight (e.g. of a transform); keep only edge_weight")
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < (self.num_nodes or 0):
            raise InputError(
                f"edge_index of the graph runs from {int(edge_index.min())} to {int(edge_index.max())}, expected "
                f"nodes from 0 to {(self.num_nodes or 0) - 1}"
            )

    def _check_frames(self) -> None:
        expected, found = self.meta.features, tuple(self.x.shape[1:])
        if found != (expected.n_frames, expected.n_mels):
            raise InputError(
                f"x of the graph has spectrograms of shape {list(found)}, expected "
                f"{[expected.n_frames, expected.n_mels]} as in data.meta.features"
            )
