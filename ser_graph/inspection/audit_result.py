"""`Audit`: the result of an audit, and its text."""

from collections.abc import Collection
from dataclasses import dataclass
from textwrap import fill, indent
from typing import Any

import pandas as pd

from ser_graph.analysis.findings import SEVERITIES, Finding
from ser_graph.errors import one_line

_WIDTH = 110
_CLIPS = 5  # clips of a finding in the text


@dataclass(frozen=True)
class Audit:
    """The result of `audit`.

    Attributes:
        corpus: name of the corpus.
        counts: numbers of clips, speakers, emotions and hours, by name.
        findings: what was found, the worst first.
        shortcuts: the result of `label_shortcuts`, with the measurements of the sound.
        checks: each check by name, and its result: a number of findings, or why it was not made.
    """

    corpus: str
    counts: dict[str, int | float]
    findings: list[Finding]
    shortcuts: pd.DataFrame
    checks: dict[str, str]

    def errors(self, accepted: Collection[str] = ()) -> list[str]:
        """The names of the findings that are errors, without those that are accepted."""
        return [one.name for one in self.findings if one.severity == "error" and one.name not in accepted]

    @property
    def issues(self) -> pd.DataFrame:
        """One row for each clip of each finding, or for the finding itself if it concerns the corpus.

        The worst findings come first, and of each finding the worst clips: `severity`, `finding`, `file`, `other`
        (a second clip), `score` (0 to 1, low is bad, as in cleanlab; NaN without one), `detail` and `advice`.
        """
        parts = []
        for finding in self.findings:
            whole = pd.DataFrame({"file": [None], "other": [None], "score": [None], "detail": [finding.what]})
            rows = finding.clips if len(finding.clips) else whole.astype(finding.clips.dtypes)
            names = {"severity": finding.severity, "finding": finding.name}
            parts.append(rows.assign(**names, advice=finding.advice))
        columns = ["severity", "finding", "file", "other", "score", "detail", "advice"]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    def severities(self) -> dict[str, int]:
        """The number of findings of each severity, the worst first."""
        return {name: sum(one.severity == name for one in self.findings) for name in SEVERITIES}

    def size(self) -> str:
        """How much there is, in words."""
        return ", ".join(f"{shown(n)} {name}" for name, n in self.counts.items())

    def as_json(self) -> dict[str, Any]:
        """The audit for other programs: plain values, null for missing ones."""
        shortcuts = self.shortcuts.reset_index()
        return {
            "corpus": self.corpus,
            "counts": self.counts,
            "issues": self.issues.astype(object).where(self.issues.notna(), None).to_dict("records"),
            "shortcuts": shortcuts.astype(object).where(shortcuts.notna(), None).to_dict("records"),
            "checks": self.checks,
        }

    def __repr__(self) -> str:
        counts = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in self.severities().items()]
        return f"Audit({self.corpus!r}: {', '.join(counts)})"


def format_audit(audit: Audit) -> str:
    """An audit as text: each finding with its first clips, the shortcuts, and the checks that were not made."""
    severities = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in audit.severities().items()]
    sections = [f"{one_line(audit.corpus)}: {audit.size()}\n{', '.join(severities)}"]
    sections += [_format_finding(finding) for finding in audit.findings]
    if len(audit.shortcuts):
        title = "How well a column alone tells the emotion (UAR), with intervals"
        sections.append(f"{title}\n\n{_format_shortcuts(audit.shortcuts)}")
    sections += _not_made(audit.checks)
    return "\n\n".join(sections)


def _not_made(checks: dict[str, str]) -> list[str]:
    """The checks that were not made, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, result in checks.items():
        if result.startswith("not made"):
            by_reason.setdefault(result, []).append(name)
    lines = [f"{', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return ["\n".join(fill(line, _WIDTH) for line in lines)] if lines else []


def _format_finding(finding: Finding) -> str:
    lines = [f"{finding.severity.upper()}  {one_line(finding.name)}"]
    lines += [_indented(one) for one in (finding.what, finding.meaning, f"What to do: {finding.advice}")]
    for row in finding.clips.head(_CLIPS).itertuples():
        files = " = ".join(str(file) for file in (row.file, row.other) if isinstance(file, str))
        lines.append(_indented(f"{files}: {row.detail}", 4))
    if len(finding.clips) > _CLIPS:
        lines.append(f"    and {len(finding.clips) - _CLIPS:,} more")
    return "\n".join(lines)


def _indented(text: str, by: int = 2) -> str:
    return indent(fill(one_line(text), _WIDTH - by, break_on_hyphens=False, break_long_words=False), " " * by)


def _format_shortcuts(shortcuts: pd.DataFrame) -> str:
    rows = pd.DataFrame(
        {
            "column": [one_line(name) for name in shortcuts.index],
            "uar": [f"{value:.1%}" for value in shortcuts["uar"]],
            "interval": _intervals(shortcuts, "uar"),
            "chance": _intervals(shortcuts, "chance"),
            "folds by": shortcuts["folds"].to_numpy(),
            "": ["shortcut" if found else "" for found in shortcuts["found"]],
        }
    )
    return rows.to_string(index=False)


def _intervals(shortcuts: pd.DataFrame, name: str) -> list[str]:
    bounds = shortcuts[[f"{name}_low", f"{name}_high"]].to_numpy()
    return [interval(low, high) for low, high in bounds]


def interval(low: float, high: float) -> str:
    """Two shares as percent."""
    return f"{low:.1%} to {high:.1%}"


def shown(value: float) -> str:
    """A number with separators; a fraction has two digits, and a missing number is a dash."""
    if value != value:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
