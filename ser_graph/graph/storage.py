"""A graph as a folder: `meta.json`, `clips.csv`, `graph.safetensors` and, mapped from disk, `x.npy`."""

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ser_graph.audio.mapped import map_array, write_array
from ser_graph.common.files import atomic_folder, check_readable, read_json, write_json
from ser_graph.corpora.table import read_table, write_table
from ser_graph.errors import InputError
from ser_graph.graph.clip_graph import ClipGraph

FORMAT_VERSION = 1
MARK = "graph.safetensors"
FILES = ("meta.json", "clips.csv", MARK, "x.npy")
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
    with atomic_folder(folder, MARK) as part:
        write_graph(data, part, x_file=x_file)
    return Path(folder)


def write_graph(data: ClipGraph, folder: Path, *, x_file: str | Path | None = None) -> None:
    """Write a graph's files into a folder; see `save_graph`."""
    write_json(folder / "meta.json", {"format": "ser_graph.graph", "version": FORMAT_VERSION, **data.meta})
    write_table(data.table, folder / "clips.csv")
    save_file({name: data[name].contiguous() for name in _TENSORS}, folder / MARK)
    if x_file is None:
        write_array(folder / "x.npy", data.x)
    else:
        shutil.move(x_file, folder / "x.npy")


def load_graph(folder: str | Path) -> ClipGraph:
    """Load a stored graph; the spectrograms stay on disk until they are touched.

    Args:
        folder: a folder made by `save_graph`.

    Raises:
        InputError: no graph there, a damaged one, or one of a newer format.
    """
    folder = Path(folder).expanduser()
    if not (folder / "meta.json").exists():
        raise InputError(f"{folder} is not a stored graph (no meta.json in it); make one with 'ser-graph build'")
    meta = read_json(folder / "meta.json")
    if not isinstance(meta, dict) or meta.pop("format", None) != "ser_graph.graph":
        raise InputError(f"{folder} is not a stored graph; make one with 'ser-graph build'")
    if meta.pop("version") > FORMAT_VERSION:
        raise InputError(f"{folder} was stored by a newer ser_graph; update this one (pip install -U ser-graph)")
    check_readable(*(folder / name for name in FILES))
    try:
        tensors = load_file(folder / MARK)
        x = map_array(folder / "x.npy")
        table = read_table(folder / "clips.csv")
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise InputError(
            f"The graph in {folder} is damaged ({str(error).splitlines()[0]}); build it anew"
        ) from None
    if sorted(tensors) != sorted(_TENSORS):
        raise InputError(f"The graph in {folder} is damaged (not the tensors of a graph); build it anew")
    lengths = {len(tensors[name]) for name in _TENSORS if not name.startswith("edge_")}
    if (
        lengths != {len(x)}
        or len(x) != len(table)
        or tensors["edge_index"].shape[1:] != tensors["edge_weight"].shape
    ):
        raise InputError(f"The graph in {folder} is damaged (its parts differ in length); build it anew")
    data = ClipGraph(x=x, **tensors, num_nodes=len(table))
    table.attrs.update(corpus=meta["corpus"], root=meta["root"])
    data.table, data.meta = table, meta
    return data
