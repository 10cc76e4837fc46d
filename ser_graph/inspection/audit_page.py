"""The findings of an audit -> one HTML file without scripts, which loads nothing."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

import pandas as pd

from ser_graph.analysis.findings import SEVERITIES, Finding
from ser_graph.errors import one_line

_CLIPS = 100  # clips of a finding on the page; the CSV has all
_OPEN = 10  # a longer list of clips is folded
_ROWS = 15  # rows of evidence
_WIDTH = 200  # units of the drawing of an interval

_SEVERITY_MEANS = {
    "error": "Results are wrong, or better than they should be.",
    "warning": "Results may be so.",
    "note": "To know, and to say beside results.",
}


def audit_page(
    corpus: str,
    counts: Mapping[str, int | float],
    findings: Sequence[Finding],
    shortcuts: pd.DataFrame,
    checks: Mapping[str, str],
) -> str:
    """The page of an audit.

    Args:
        corpus: its name.
        counts: how much there is, by name.
        findings: the worst first.
        shortcuts: the result of `label_shortcuts`.
        checks: the result of each check by name.

    Returns:
        HTML. All text of the corpus is escaped, and the Content-Security-Policy forbids all scripts.
    """
    style = _asset("audit.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return Template(_asset("audit.html")).substitute(
        corpus=_text(corpus),
        hash=f"sha256-{digest}",
        style=style,
        counts=_text(", ".join(f"{_number(n)} {name}" for name, n in counts.items())),
        severities=_severities(findings),
        findings=_contents(findings) + "\n".join(_finding(n, one) for n, one in enumerate(findings)),
        shortcuts=_shortcuts(shortcuts),
        checks=_table(["check", "result"], [[_text(name), _text(result)] for name, result in checks.items()]),
    )


def _asset(name: str) -> str:
    return resources.files("ser_graph.inspection").joinpath("assets", name).read_text("utf-8")


def _text(text: object) -> str:
    """Text of a corpus as HTML: escaped, in one line, control characters and bytes that are no UTF-8 shown."""
    return escape(one_line(text).encode("utf-8", "backslashreplace").decode())


def _severities(findings: Sequence[Finding]) -> str:
    counts = {name: sum(one.severity == name for one in findings) for name in SEVERITIES}
    return " ".join(
        f'<span class="word {name}">{n} {name}{"" if n == 1 else "s"}</span>' for name, n in counts.items()
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
    rows = [[_text(name), *map(_cell, row)] for name, row in zip(evidence.index, evidence.to_numpy(), strict=True)]
    more = f'<p class="quiet">and {len(rows) - _ROWS:,} more</p>' if len(rows) > _ROWS else ""
    return _table(head, rows[:_ROWS], numbers=True) + more


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
    head = ["column", "UAR", "interval", "chance", "grey: chance; bar: interval of the UAR", "folds", "values"]
    rows = [
        [
            _text(name),
            f"{row['uar']:.1%}",
            _interval(row["uar_low"], row["uar_high"]),
            _interval(row["chance_low"], row["chance_high"]),
            _drawing(row),
            _text(row["folds"]),
            f"{row['values']:,}",
        ]
        for name, row in shortcuts.iterrows()
    ]
    about = (
        '<p class="quiet">How well a column alone tells the emotion: its counts answer for clips of other folds. '
        "UAR is the unweighted average recall. Its interval comes from a bootstrap over speakers, that of chance "
        "from shuffled emotions; a column is a finding if the two do not meet (red). A UAR below chance is no "
        "fault: where a speaker says all emotions equally often, the counts lack just those clips that are asked "
        "for.</p>"
    )
    return about + _table(head, rows)


def _interval(low: float, high: float) -> str:
    return "-" if low != low else f"{low:.1%} to {high:.1%}"


def _drawing(row: pd.Series) -> str:
    """The interval of chance as a box, that of the UAR as a line with a dot, from 0 to 1."""
    low, high, value = (_WIDTH * float(row[name]) for name in ("uar_low", "uar_high", "uar"))
    left, right = (_WIDTH * float(row[name]) for name in ("chance_low", "chance_high"))
    kind = "found" if row["found"] else "level"
    line = (
        ""
        if low != low
        else f'<line class="{kind}" x1="{low:.1f}" x2="{high:.1f}" y1="10" y2="10" stroke-width="3"/>'
    )
    return (
        f'<svg viewBox="-5 0 {_WIDTH + 10} 20" aria-hidden="true"><line class="axis" x1="0" x2="{_WIDTH}" y1="10" '
        f'y2="10"/><rect class="chance" x="{left:.1f}" y="3" width="{max(right - left, 1):.1f}" height="14"/>{line}'
        f'<circle class="{kind}" cx="{value:.1f}" cy="10" r="4"/></svg>'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """A table; its cells are HTML already, its head is text. With `numbers`, all but the first column hold them."""
    kind = ' class="number"' if numbers else ""
    heads = [f"<th{kind if place else ''}>{_text(name)}</th>" for place, name in enumerate(head)]
    lines = [f"<tr><th>{row[0]}</th>{''.join(f'<td{kind}>{cell}</td>' for cell in row[1:])}</tr>" for row in rows]
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>\n{chr(10).join(lines)}\n</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    text = _number(value)
    return f'<span class="zero">{text}</span>' if text == "0" else text


def _number(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
