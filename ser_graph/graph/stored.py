"""Read the folder of a stored graph without torch: everything except the tensors in safetensors."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ser_graph.audio.finite import check_finite
from ser_graph.common.files import check_readable, read_json
from ser_graph.corpora.table import read_table
from ser_graph.errors import InputError, one_line
from ser_graph.graph.meta import GraphMeta, parse_meta

FORMAT = "ser_graph.graph"
FORMAT_VERSION = 1
TENSORS = "graph.safetensors"
MARK = "x.npy"  # the key in meta.json of the mark of this file
FILES = ("meta.json", "clips.csv", TENSORS, "x.npy")


class StoredGraph(NamedTuple):
    """The parts of a graph of N clips that need no torch.

    Attributes:
        table: the clip table, one row per clip.
        x: [N, n_frames, n_mels] float16 or float32 log-mel spectrograms, mapped from disk.
        meta: how the graph was made.
    """

    table: pd.DataFrame
    x: np.ndarray
    meta: GraphMeta


def read_stored_graph(folder: str | Path) -> StoredGraph:
    """Read the parts of a stored graph that need no torch; `load_graph` reads the whole graph.

    `save_graph` has checked that the spectrograms are finite. If their file is another one since then, e.g. a copy,
    the function checks them again, which reads the whole file.

    Raises:
        InputError: no graph in the folder, a damaged graph, or a graph of another format.
    """
    folder = Path(folder).expanduser()
    meta, mark = _read_meta(folder)
    check_readable(*(folder / name for name in FILES))
    try:
        table = read_table(folder / "clips.csv")
        x = np.load(folder / "x.npy", mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy reads the header as Python, and raises many kinds
        raise damaged(folder, error) from None
    if not isinstance(x, np.ndarray) or x.ndim != 3 or x.dtype.name not in ("float16", "float32"):
        found = f"{list(x.shape)} {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise damaged(folder, f"x.npy is {found}, expected [N, n_frames, n_mels] of float16 or float32")
    if len(x) != len(table):
        raise damaged(folder, "its parts have different lengths")
    expected = (meta.features.n_frames, meta.features.n_mels)
    if x.shape[1:] != expected:
        raise damaged(
            folder, f"x.npy is {list(x.shape)}, expected [N, {expected[0]}, {expected[1]}] as meta.json says"
        )
    if mark != file_mark(folder / "x.npy"):
        try:
            check_finite(x)
        except InputError as error:
            raise damaged(folder, error) from None
    table.attrs.update(corpus=meta.corpus, root=meta.root)
    return StoredGraph(table, x, meta)


def file_mark(path: Path) -> dict[str, int]:
    """Size and time of the last change of a file. If they differ from the stored mark, the file is checked."""
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def damaged(folder: Path, why: object) -> InputError:
    """The error for a graph with parts that cannot be read or do not fit each other."""
    return InputError(f"The graph in {folder} is damaged ({one_line(why)[:300]}); build it again")


def _read_meta(folder: Path) -> tuple[GraphMeta, Any]:
    """The meta of a graph, and the mark of its `x.npy`, None without one."""
    if not (folder / "meta.json").exists():
        raise InputError(f"{folder} is not a stored graph (no meta.json in it); make one with 'ser-graph build'")
    content = read_json(folder / "meta.json")
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{folder} is not a stored graph; make one with 'ser-graph build'")
    _check_version(content.pop("version", None), folder)
    mark = content.pop(MARK, None)
    try:
        return parse_meta(content), mark
    except InputError as error:
        raise damaged(folder, f"meta.json: {error}") from None


def _check_version(version: Any, folder: Path) -> None:
    if type(version) is not int:
        raise damaged(folder, "meta.json has no version")
    if version > FORMAT_VERSION:
        raise InputError(f"{folder} was stored by a newer ser_graph; update this one (pip install -U ser-graph)")
    if version < FORMAT_VERSION:
        raise InputError(f"{folder} was stored by an older ser_graph in another format; build the graph again")
