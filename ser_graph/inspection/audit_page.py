"""The findings of an audit -> one HTML file without scripts, which loads nothing."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

import pandas as pd

from ser_graph.analysis.findings import Finding
from ser_graph.errors import one_line
from ser_graph.inspection.audit_result import Audit, interval
from ser_graph.inspection.policy import source_hash

_CLIPS = 100  # clips of a finding on the page; the CSV has all
_OPEN = 10  # a longer list of clips is folded
_ROWS = 15  # rows of evidence
_ZERO = '<span class="zero">0</span>'
_WIDTH = 200  # units of the drawing of an interval

_SEVERITY_MEANS = {
    "error": "Results are wrong, or better than they should be.",
    "warning": "Results may be so.",
    "note": "Good to know; say it beside results.",
}


def audit_html(audit: Audit) -> str:
    """The page of an audit.

    Returns:
        HTML. All text of the corpus is escaped, and the Content-Security-Policy forbids all scripts.
    """
    style = _asset("audit.css")
    return Template(_asset("audit.html")).substitute(
        corpus=_text(audit.corpus),
        hash=source_hash(style),
        style=style,
        counts=_text(audit.size()),
        severities=_severities(audit),
        findings=_contents(audit.findings) + "\n".join(_finding(n, one) for n, one in enumerate(audit.findings)),
        shortcuts=_shortcuts(audit.shortcuts),
        checks=_table(["check", "result"], [[_text(name), _text(result)] for name, result in audit.checks.items()]),
    )


def _asset(name: str) -> str:
    return resources.files("ser_graph.inspection").joinpath("assets", name).read_text("utf-8")


def _text(text: object) -> str:
    """Text of a corpus as HTML: escaped, in one line, control characters and bytes that are no UTF-8 shown."""
    return escape(one_line(text).encode("utf-8", "backslashreplace").decode())


def _severities(audit: Audit) -> str:
    return " ".join(
        f'<span class="word {name if n else "note"}">{n} {name}{"" if n == 1 else "s"}</span>'
        for name, n in audit.severities().items()
    )


def _contents(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>The checks that were made found nothing.</p>\n"
    entries = "\n".join(
        f'<li><span class="word {one.severity}">{one.severity}</span>'
        f'<a href="#finding-{number}">{_text(one.name)}</a></li>'
        for number, one in enumerate(findings)
    )
    legend = " ".join(f"<b>{name}</b>: {means}" for name, means in _SEVERITY_MEANS.items())
    return f'<ol class="toc">\n{entries}\n</ol>\n<p class="quiet">{legend}</p>\n<h2 id="findings">Findings</h2>\n'


def _finding(number: int, finding: Finding) -> str:
    parts = [
        f'<article class="{finding.severity}" id="finding-{number}">',
        f'<h3><span class="word {finding.severity}">{finding.severity}</span>{_text(finding.name)}</h3>',
        f"<p>{_text(finding.what)}</p>",
        f"<dl><dt>What it means</dt><dd>{_text(finding.meaning)}</dd>",
        f"<dt>What to do</dt><dd>{_text(finding.advice)}</dd></dl>",
        _evidence(finding.evidence),
        _clips(finding.clips),
        "</article>",
    ]
    return "\n".join(filter(None, parts))


def _evidence(evidence: pd.DataFrame) -> str:
    if evidence.empty:
        return ""
    head = [str(evidence.index.name or ""), *map(str, evidence.columns)]
    cells = [_cells(evidence[column]) for column in evidence]
    rows = [[_text(name), *row] for name, row in zip(evidence.index, zip(*cells, strict=True), strict=True)]
    more = f'<p class="quiet">and {len(rows) - _ROWS:,} more</p>' if len(rows) > _ROWS else ""
    return _table(head, rows[:_ROWS], kind="number") + more


def _clips(clips: pd.DataFrame) -> str:
    if clips.empty:
        return ""
    shown = clips.head(_CLIPS)
    used = [name for name in ("file", "other", "score", "detail") if shown[name].notna().any()]
    rows = [
        [_clip_cell(name, value) for name, value in zip(used, row, strict=True)] for row in shown[used].to_numpy()
    ]
    table = _table(used, rows)
    more = f'<p class="quiet">and {len(clips) - _CLIPS:,} more in the CSV beside this page</p>'
    body = table + (more if len(clips) > _CLIPS else "")
    title = f"{len(clips):,} {'pair' if 'other' in used else 'clip'}{'' if len(clips) == 1 else 's'}"
    is_open = " open" if len(clips) <= _OPEN else ""
    return f"<details{is_open}><summary>{title}</summary>{body}</details>"


def _clip_cell(name: str, value: Any) -> str:
    if name == "score":
        return f"{value:.3f}" if value == value else ""
    text = "" if value is None or value != value else _text(value)
    return f'<span class="file">{text}</span>' if name in ("file", "other") else text


def _shortcuts(shortcuts: pd.DataFrame) -> str:
    if shortcuts.empty:
        return "<p>No column has two values, or there are not two emotions: nothing to measure.</p>"
    head = ["column", "UAR", "from 0 to 1", "interval", "chance", "folds by", "values"]
    rows = [
        [
            _text(name),
            f"{row['uar']:.1%}",
            _drawing(row),
            interval(row["uar_low"], row["uar_high"]),
            interval(row["chance_low"], row["chance_high"]),
            _text(row["folds"]),
            f"{row['values']:,}",
        ]
        for name, row in shortcuts.iterrows()
    ]
    about = (
        '<p class="quiet">How well a column alone tells the emotion: its counts answer for clips of other folds. '
        "UAR is the unweighted average recall. Its interval comes from a bootstrap over speakers, that of chance "
        "from shuffled emotions (the grey box); a column is a finding if its interval is above that of chance "
        "(red). A UAR below chance is no fault: the counts leave out the clips that they answer for, so the "
        "emotions of these clips are rarer in the counts.</p>"
    )
    return about + _table(head, rows, kind="line")


def _drawing(row: pd.Series) -> str:
    """The interval of chance as a box, that of the UAR as a line with a dot, from 0 to 1."""
    low, high, value = (_WIDTH * float(row[name]) for name in ("uar_low", "uar_high", "uar"))
    left, right = (_WIDTH * float(row[name]) for name in ("chance_low", "chance_high"))
    kind = "found" if row["found"] else "level"
    line = f'<line class="{kind}" x1="{low:.1f}" x2="{high:.1f}" y1="10" y2="10" stroke-width="3"/>'
    return (
        f'<svg viewBox="-5 0 {_WIDTH + 10} 20" aria-hidden="true"><line class="axis" x1="0" x2="{_WIDTH}" y1="10" '
        f'y2="10"/><rect class="chance" x="{left:.1f}" y="3" width="{max(right - left, 1):.1f}" height="14"/>{line}'
        f'<circle class="{kind}" cx="{value:.1f}" cy="10" r="4"/></svg>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "") -> str:
    """A table; its cells are HTML already, its head is text. `kind` is the class of all but the first column."""
    marked = f' class="{kind}"' if kind else ""
    heads = [f"<th{marked if place else ''}>{_text(name)}</th>" for place, name in enumerate(head)]
    lines = [f"<tr><th>{row[0]}</th>{''.join(f'<td{marked}>{cell}</td>' for cell in row[1:])}</tr>" for row in rows]
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>\n{chr(10).join(lines)}\n</tbody></table></div>"
    )


def _cells(values: pd.Series) -> list[str]:
    """The numbers of a column, with the same number of digits."""
    digits = 0 if (values.dropna() % 1 == 0).all() else 3
    return ["-" if value != value else f"{value:,.{digits}f}" if value else _ZERO for value in values]
