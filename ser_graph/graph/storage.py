"""A graph as a folder: `meta.json`, `clips.csv`, `graph.safetensors` and `x.npy`, which is mapped from disk."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ser_graph.audio.finite import check_finite
from ser_graph.audio.mapped import map_array, write_array
from ser_graph.common.files import atomic_folder, write_json
from ser_graph.corpora.table import write_table
from ser_graph.errors import InputError
from ser_graph.graph.agreement import CODES, MASKS, TIED
from ser_graph.graph.clip_graph import TENSORS as ATTRIBUTES, ClipGraph, check_is_graph
from ser_graph.graph.meta import GraphMeta
from ser_graph.graph.stored import (
    FORMAT,
    FORMAT_VERSION,
    MARK,
    TENSORS,
    damaged,
    file_mark,
    read_stored_graph,
)

_STORED = tuple(name for name in ATTRIBUTES if name != "x")


def save_graph(data: ClipGraph, folder: str | Path, *, x_file: str | Path | None = None) -> Path:
    """Store a graph as a folder, completely or not at all.

    Args:
        data: the graph.
        folder: the folder. An older graph in it is replaced; a folder of other things is refused.
        x_file: the `.npy` file from which ``data.x`` is mapped. The function moves it into the folder instead of
            writing the spectrograms again.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something else; the parts of the graph do not agree, see `ClipGraph.check`; or
            a number in them is not finite. An older graph stays in place.
    """
    with atomic_folder(folder, TENSORS) as part:
        write_graph(data, part, x_file=x_file)
    return Path(folder)


def write_graph(data: ClipGraph, folder: Path, *, x_file: str | Path | None = None) -> None:
    """Write the files of a graph into a folder; see `save_graph`."""
    check_is_graph(data)
    data.check()
    _check_finite(data)
    if x_file is not None:
        _check_file(x_file, data.x)
    write_table(data.table, folder / "clips.csv")
    save_file({name: data[name].contiguous() for name in _STORED}, folder / TENSORS)
    if x_file is None:
        write_array(folder / "x.npy", data.x)
    else:
        shutil.move(x_file, folder / "x.npy")
    about = {"format": FORMAT, "version": FORMAT_VERSION, MARK: file_mark(folder / "x.npy")}
    write_json(folder / "meta.json", {**about, **data.meta.model_dump(mode="json")})


def load_graph(folder: str | Path) -> ClipGraph:
    """Load a stored graph. The spectrograms stay on disk until they are used; see `read_stored_graph`.

    Args:
        folder: a folder made by `save_graph`.

    Raises:
        InputError: no graph in the folder, a graph of another format, or a damaged graph: a part is missing,
            truncated, from another graph, or has impossible values.
    """
    folder = Path(folder).expanduser()
    table, _, meta = read_stored_graph(folder)
    try:
        tensors = load_file(folder / TENSORS)
        x = map_array(folder / "x.npy")
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise damaged(folder, error) from None
    if sorted(tensors) != sorted(_STORED):
        raise damaged(folder, "not the tensors of a graph")
    try:
        data = _agreed(ClipGraph(x=x, **tensors, num_nodes=len(table)), table, meta)
        data.check()
        _check_finite(data)
    except InputError as error:
        raise damaged(folder, error) from None
    return data


def _agreed(data: ClipGraph, table: pd.DataFrame, meta: GraphMeta) -> ClipGraph:
    """The graph with its table; refuses a table whose rows, names or splits contradict the tensors."""
    data.meta = meta
    data.check_tensors()
    stored = {name: data[name] for name in TIED}
    data.table = table  # sets these tensors from the table
    if data.meta.names != meta.names:
        raise InputError("the names in meta.json differ from clips.csv")
    if not torch.equal(stored["clip"], data.clip):
        raise InputError("the rows of clips.csv do not match the tensors, or are in another order")
    for mask in MASKS.values():  # in memory, the table would follow the masks
        if not torch.equal(stored[mask], data[mask]):
            raise InputError(f"{mask} contradicts the split in clips.csv")
    for name in CODES.values():
        data[name] = stored[name]
    return data


def _check_finite(data: ClipGraph) -> None:
    """Refuse NaN and infinity in all tensors except `x`, which is checked where it is written and read."""
    for name in ("emb", "edge_weight"):
        if not torch.isfinite(data[name].sum(dtype=torch.float64)):  # a sum with NaN or infinity is not finite
            row = int((~torch.isfinite(data[name])).nonzero()[0, 0])
            raise InputError(f"{name} of the graph is not finite in row {row}; build the graph again")


def _check_file(x_file: str | Path, x: Tensor) -> None:
    """Refuse a file of spectrograms that are not finite, or do not fit `x`."""
    found = np.load(x_file, mmap_mode="r", allow_pickle=False)
    if found.shape != tuple(x.shape) or found.dtype != x[:0].numpy().dtype:
        raise InputError(
            f"{x_file} holds {list(found.shape)} {found.dtype}, x of the graph is {list(x.shape)} {x.dtype}; give "
            "the file from which x is mapped"
        )
    check_finite(found)
