"""Stages of a run: finished ones are known by what they were asked for, and written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.common.files import atomic_folder, read_json, write_json
from ser_graph.errors import InputError

MARK = "stage.json"


def is_finished(folder: Path, asked: str) -> bool:
    """Whether a stage was finished with the same inputs and settings; a result of others is not overwritten.

    Args:
        folder: of the stage.
        asked: what is asked for.
    """
    mark = folder / MARK
    if not mark.exists():
        return False
    if read_json(mark).get("asked") != asked:
        raise InputError(
            f"{folder} holds the result of other settings or inputs; choose another folder with --out, or delete "
            "this one (and what was made from it) to make it anew"
        )
    return True


@contextmanager
def stage(folder: Path, asked: str, **notes: Any) -> Iterator[Path]:
    """Write a stage's folder with the mark of what was asked for, whole or not at all."""
    with atomic_folder(folder, MARK) as part:
        yield part
        mark_finished(part, asked, **notes)


def mark_finished(folder: Path, asked: str, **notes: Any) -> None:
    """Note what a stage's folder was asked for; the last thing that is written into it."""
    write_json(folder / MARK, {"asked": asked, **notes})


def file_sizes(table: pd.DataFrame) -> list[int]:
    """The clips' sizes in bytes, -1 for a missing one: a corpus that was changed is noticed by them."""
    files = table.index if "copy_of" not in table else table["copy_of"].fillna(table.index.to_series())
    paths = [Path(table.attrs["root"]) / file for file in files]
    return [path.stat().st_size if path.exists() else -1 for path in paths]
