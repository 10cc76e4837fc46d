"""CSV files that a spreadsheet and a terminal can show safely: no cell is a formula or an escape sequence.

A spreadsheet computes a cell that starts with one of ``= + - @``, and a name of a corpus may do so. Such text gets
an apostrophe in front, which `unprotected` takes away again. Numbers and a sign alone do not change.
"""

import re
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from ser_graph.common.text import printable, without_controls

_SIGN = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are the wide forms of = + - @
_LIVE = re.compile(f"'*{_SIGN}.", re.DOTALL)
_PROTECTED = re.compile(f"'+{_SIGN}.", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def protected(text: str) -> str:
    """Text that no spreadsheet computes.

    Examples:
        >>> [protected(text) for text in ("=1+1", "'=1+1", "anna", "-5", "-5 dB", "-")]
        ["'=1+1", "''=1+1", 'anna', '-5', "'-5 dB", '-']
    """
    return f"'{text}" if _LIVE.match(text) and not _NUMBER.fullmatch(text) else text


def unprotected(text: str) -> str:
    """The text before `protected`.

    Examples:
        >>> [unprotected(text) for text in ("'=1+1", "''=1+1", "anna", "'anna'")]
        ['=1+1', "'=1+1", 'anna', "'anna'"]
    """
    return text[1:] if _PROTECTED.match(text) else text


def write_csv(table: pd.DataFrame, file: str | Path | TextIO, **options: Any) -> None:
    """Write a table as CSV in UTF-8; cells and names of text are `protected`, and their control characters shown.

    `options` are those of ``DataFrame.to_csv``.
    """
    safe = table.map(_safe).rename(columns=_safe)
    if options.get("index", True):
        safe.index = safe.index.map(_safe)
    safe.to_csv(file, encoding="utf-8", **options)


def _safe(cell: Any) -> Any:
    """Text that can be shown; a name that no table can hold may stand in a list of problems."""
    return protected(without_controls(printable(cell))) if isinstance(cell, str) else cell
