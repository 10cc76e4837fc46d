"""`Finding`: one thing that is wrong with a corpus or a graph, with what it means and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""

_CLIPS = ["file", "other", "score", "detail"]


def clip_rows(rows: Sequence[tuple[Any, str | None, float | None, str]] = ()) -> pd.DataFrame:
    """Clips of a finding: `file`, `other` (a second clip), `score` (0 to 1, low is bad) and `detail`."""
    table = pd.DataFrame(list(rows), columns=_CLIPS)
    return table.astype({"file": object, "other": object, "score": float, "detail": object})


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        name: its kind, the same in every audit, e.g. ``"suspicious labels"`` or ``"shortcut: sentence"``.
        severity: ``"error"`` makes results wrong or too good; ``"warning"`` may do so; ``"note"`` is to know.
        what: what was found, with numbers, in one sentence.
        meaning: what it does to a model and to its results.
        advice: what to do.
        clips: the clips concerned, the worst first, as `clip_rows` makes them; empty if it concerns the corpus.
        evidence: a table that shows the finding, its index named; empty if `what` says it all.
    """

    name: str
    severity: Severity
    what: str
    meaning: str
    advice: str
    clips: pd.DataFrame = field(default_factory=clip_rows)
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
