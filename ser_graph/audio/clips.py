"""The paths of the clips of a table and the speeds at which they are read; without torch."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_graph.errors import InputError


def clip_paths(table: pd.DataFrame, root: str | Path | None = None) -> list[Path]:
    """The path of every clip of a table, in its order; a copy has the path of its original.

    The corpus folder is `root`, or else the folder from which the table was loaded (``table.attrs["root"]``). A
    clip of a shard has no file at its path.

    Raises:
        InputError: the first clip does not exist: the folder was moved, or ``table.attrs`` was lost.
    """
    folder = Path(root if root is not None else table.attrs.get("root", ".")).expanduser()
    files = table.index.to_series() if "copy_of" not in table else table["copy_of"].fillna(table.index.to_series())
    paths = [folder / str(file) for file in files]
    with_file = (~of_shards(table)).nonzero()[0]
    if len(with_file) and not (first := paths[with_file[0]]).exists():
        raise InputError(f"No clip {first}; give the folder that the clip table belongs to as root=")
    return paths


def of_shards(table: pd.DataFrame) -> np.ndarray:
    """[N] bool: the clips of a table that have no file, only rows of the arrays of a shard; see `shard_table`."""
    return (
        table["stored_in"].notna().to_numpy(bool, copy=True) if "stored_in" in table else np.zeros(len(table), bool)
    )


def clip_speeds(table: pd.DataFrame) -> list[float]:
    """The speed at which every clip of a table is read: 1 except for copies; see `with_copies`."""
    if "copy_of" not in table:  # a corpus may have another column `speed`
        return [1.0] * len(table)
    return table["speed"].where(table["copy_of"].notna(), 1.0).tolist()
