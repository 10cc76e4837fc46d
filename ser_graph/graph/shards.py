"""A graph in shards: each has some clips with their edges, labels and spectrograms, so that no process needs all.

    meta.json                      the number of the first clip of each shard, and how the whole graph was made
    000/, 001/, ...                clips.csv, shard.safetensors, x.npy and emb.npy of each shard

The clips are numbered anew, shard by shard. An edge is stored with its seed; its neighbour, a number of the whole
graph, may be in any shard. Clips are dealt at random, so that a shuffle within each shard is as good as one of all
clips.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ser_graph.audio.mapped import give_back, map_array, read_rows, write_array
from ser_graph.common.files import atomic_folder, read_json, write_json
from ser_graph.common.settings import Record, read_record
from ser_graph.corpora.copies import corpus_originals, originals
from ser_graph.corpora.table import write_table
from ser_graph.errors import InputError, one_line
from ser_graph.graph.clip_graph import ClipGraph, check_is_graph
from ser_graph.graph.meta import GraphMeta, parse_meta

_FORMAT = "ser_graph.graph_shards"
_META = "meta.json"
_TENSORS = {
    "y": torch.int64,
    "other_y": torch.int64,
    "speaker": torch.int64,
    "train_mask": torch.bool,
    "val_mask": torch.bool,
    "original": torch.bool,
    "of_corpus": torch.bool,
    "edge_index": torch.int64,
    "edge_weight": torch.float32,
}
_AT_ONCE = 256  # rows copied from file to file


class _Meta(Record):
    """The content of `meta.json`."""

    format: str
    starts: list[int] = Field(description="the number of the first clip of each shard, and the number of clips")
    graph: dict[str, Any] = Field(description="the meta.json of the whole graph")


@dataclass(frozen=True)
class GraphShard:
    """Clips that follow each other in the numbers of the whole graph.

    Attributes:
        start: the number of the first clip.
        y: [n] int64 emotion codes, -1 = unknown; likewise `other_y` (see `ClipGraph`) and `speaker`.
        train_mask: [n] bool; likewise `val_mask`.
        original: [n] bool, the clips that are not copies.
        of_corpus: [n] bool, the originals of the corpora that have labelled training clips.
        edge_index: [2, E] int64: neighbour (a number of the whole graph) -> seed (a row of this shard).
        edge_weight: [E] float32 similarity.
        x: [n, n_frames, n_mels] log-mel spectrograms, mapped from disk.
        emb: [n, D] float32 embeddings, mapped from disk.
    """

    start: int
    y: Tensor
    other_y: Tensor
    speaker: Tensor
    train_mask: Tensor
    val_mask: Tensor
    original: Tensor
    of_corpus: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    x: Tensor
    emb: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class GraphShards:
    """The folder of a graph in shards.

    Attributes:
        folder: the folder.
        starts: the number of the first clip of each shard, and the number of all clips.
        meta: how the whole graph was made.
    """

    folder: Path
    starts: list[int]
    meta: GraphMeta

    def __len__(self) -> int:
        return len(self.starts) - 1

    def load(self, number: int) -> GraphShard:
        """A shard; its spectrograms stay on disk until they are used.

        Raises:
            InputError: a part of the shard is missing or damaged.
        """
        folder, start, end = _folder(self.folder, number), *self.starts[number : number + 2]
        try:
            tensors = load_file(folder / "shard.safetensors")
            arrays = {name: map_array(folder / f"{name}.npy") for name in ("x", "emb")}
            shard = GraphShard(start, **tensors, **arrays)
        except (OSError, ValueError, EOFError, TypeError, SafetensorError) as error:
            raise InputError(
                f"The shard {folder} is damaged ({one_line(error)[:200]}); split the graph again"
            ) from None
        fits = all(tensors[name].dtype == dtype for name, dtype in _TENSORS.items())
        of_clips = [one for name, one in vars(shard).items() if name not in ("start", "edge_index", "edge_weight")]
        fits = fits and all(len(one) == end - start for one in of_clips)
        source, seed = shard.edge_index if fits else torch.empty(2, 0)
        for ids, limit in ((source, self.starts[-1]), (seed, end - start)):
            fits = fits and (not len(ids) or 0 <= int(ids.min()) <= int(ids.max()) < limit)
        if not fits:
            raise InputError(f"The shard {folder} is damaged (its parts do not fit); split the graph again")
        return shard


def split_graph(data: ClipGraph, folder: str | Path, n_shards: int, *, seed: int = 0) -> GraphShards:
    """Store a graph in shards, for `train_shards`.

    Args:
        data: the graph.
        folder: the folder, which appears whole or not at all.
        n_shards: number of shards; a multiple of the number of processes that will train.
        seed: random seed of the deal. Labelled training clips are dealt first, so that each shard has its share.

    Raises:
        InputError: fewer labelled training clips than shards; or the folder holds something else.
    """
    check_is_graph(data)
    data.check()
    known = data.train_mask & (data.y >= 0)
    if not 1 <= n_shards <= int(known.sum()):
        raise InputError(
            f"Bad n_shards {n_shards}, expected 1 to {int(known.sum())}, the number of labelled training clips"
        )
    order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(seed))
    order = order[(~known[order]).long().argsort(stable=True)]
    rows = [order[number::n_shards] for number in range(n_shards)]
    starts = [0, *np.cumsum([len(one) for one in rows]).tolist()]
    number_of = torch.empty(len(order), dtype=torch.int64)
    number_of[torch.cat(rows)] = torch.arange(len(order))
    nodes = {name: data[name] for name in ("y", "speaker", "train_mask", "val_mask")}
    nodes["other_y"] = data.other_y
    nodes["original"] = torch.from_numpy(originals(data.table))
    nodes["of_corpus"] = torch.from_numpy(corpus_originals(data.table, known.numpy()))
    with atomic_folder(folder, _META) as part:
        for number, mine in enumerate(rows):
            _write_shard(data, nodes, mine, number_of, starts[number], _folder(part, number))
        graph = data.meta.model_dump(mode="json")
        graph["names"]["speaker"] = []  # they can be as many as clips, and no training needs them
        write_json(part / _META, {"format": _FORMAT, "starts": starts, "graph": graph})
    return load_graph_shards(folder)


def is_in_shards(folder: str | Path) -> bool:
    """Whether a folder holds a graph in shards."""
    path = Path(folder).expanduser() / _META
    content = read_json(path) if path.exists() else None
    return isinstance(content, dict) and content.get("format") == _FORMAT


def load_graph_shards(folder: str | Path) -> GraphShards:
    """The folder of a graph in shards; loads no shard.

    Raises:
        InputError: not such a folder.
    """
    folder = Path(folder).expanduser()
    if not is_in_shards(folder):
        raise InputError(f"{folder} is no graph in shards; make one with split_graph")
    meta = read_record(_Meta, read_json(folder / _META), folder / _META, "split the graph again")
    if meta.starts != sorted(meta.starts) or len(meta.starts) < 2 or meta.starts[0] != 0:
        raise InputError(f"{folder / _META} is damaged (starts); split the graph again")
    return GraphShards(folder, meta.starts, parse_meta(meta.graph))


def _folder(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}"


def _write_shard(
    data: ClipGraph, nodes: dict[str, Tensor], rows: Tensor, number_of: Tensor, start: int, folder: Path
) -> None:
    """Write the clips `rows`; `nodes` are the tensors of all clips."""
    folder.mkdir()
    source, seed = number_of[data.edge_index]
    mine = ((seed >= start) & (seed < start + len(rows))).nonzero()[:, 0]
    mine = mine[seed[mine].argsort(stable=True)]  # a seed's edges stay in their order: the nearest first
    edges = {"edge_index": torch.stack([source[mine], seed[mine] - start]), "edge_weight": data.edge_weight[mine]}
    own = {name: one[rows] for name, one in nodes.items()}
    save_file({name: one.contiguous() for name, one in {**own, **edges}.items()}, folder / "shard.safetensors")
    write_table(data.table.iloc[rows.numpy()], folder / "clips.csv")
    write_array(folder / "emb.npy", data.emb[rows])
    dtype = np.float16 if data.x.dtype == torch.float16 else np.float32
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", dtype, (len(rows), *data.x.shape[1:]))
    for first in range(0, len(rows), _AT_ONCE):
        block = rows[first : first + _AT_ONCE]
        x[first : first + len(block)] = read_rows(data.x, block).numpy()
        give_back(x)
    x.flush()
