"""A graph as a folder: `meta.json`, `clips.csv`, `graph.safetensors` and, mapped from disk, `x.npy`."""

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ser_graph.audio.mapped import map_array, write_array
from ser_graph.corpora.table import write_table
from ser_graph.files import atomic_folder, write_json
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.stored_graph import FORMAT, FORMAT_VERSION, TENSORS, damaged, read_stored_graph

_TENSORS = (
    "emb",
    "y",
    "speaker",
    "gender",
    "train_mask",
    "val_mask",
    "test_mask",
    "edge_index",
    "edge_weight",
)


def save_graph(data: ClipGraph, folder: str | Path, *, x_file: str | Path | None = None) -> Path:
    """Store a graph as a folder, whole or not at all.

    Args:
        data: the graph.
        folder: where to; an older graph there is replaced, anything else is not.
        x_file: the `.npy` file that ``data.x`` is mapped from: it is moved into the folder instead of
            writing the spectrograms again.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something else.
    """
    with atomic_folder(folder, TENSORS) as part:
        write_json(part / "meta.json", {"format": FORMAT, "version": FORMAT_VERSION, **data.meta})
        write_table(data.table, part / "clips.csv")
        save_file({name: data[name].contiguous() for name in _TENSORS}, part / TENSORS)
        if x_file is None:
            write_array(part / "x.npy", data.x)
        else:
            shutil.move(x_file, part / "x.npy")
    return Path(folder)


def load_graph(folder: str | Path) -> ClipGraph:
    """Load a stored graph; the spectrograms stay on disk until they are touched.

    Args:
        folder: a folder made by `save_graph`.

    Raises:
        InputError: no graph there, a damaged one, or one of a newer format.
    """
    folder = Path(folder).expanduser()
    table, _, meta = read_stored_graph(folder)
    try:
        tensors = load_file(folder / TENSORS)
        x = map_array(folder / "x.npy")
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise damaged(folder, error) from None
    if sorted(tensors) != sorted(_TENSORS):
        raise damaged(folder, "not the tensors of a graph")
    lengths = {len(tensors[name]) for name in _TENSORS if not name.startswith("edge_")}
    if lengths != {len(x)} or tensors["edge_index"].shape[1:] != tensors["edge_weight"].shape:
        raise damaged(folder, "its parts differ in length")
    data = ClipGraph(x=x, **tensors, num_nodes=len(table))
    data.table, data.meta = table, meta
    return data
