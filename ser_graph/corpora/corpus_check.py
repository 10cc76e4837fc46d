"""Check a whole corpus: its contents, the problems of its clips, and those of the corpus as a whole.

The latter are repeated clips, names that do not fit, missing classes and clips, and speakers in two splits.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ser_graph.corpora.adapter import Adapter, Scan, clip_table, scan_corpus
from ser_graph.corpora.checking import clip_problems, examine_clips, problem_row
from ser_graph.corpora.loading import find_adapter, is_table
from ser_graph.corpora.splits import speaker_overlap
from ser_graph.corpora.table import load_table
from ser_graph.corpora.vocabulary import EMOTIONS
from ser_graph.errors import one_line, shorten


def check_corpus(name: str, folder: str | Path) -> dict[str, Any]:
    """Describe a corpus folder and list its problems. Broken parts of a corpus do not stop the check.

    Args:
        name: as in `load_corpus`.
        folder: the folder of the corpus, or the table that describes it.

    Returns:
        A dictionary of plain values: ``corpus, root``, ``clips`` and ``speakers`` (numbers), ``emotions``,
        ``genders`` and ``clips_by_speaker`` (name -> clips), ``hours``, ``rates`` and ``channels`` (value ->
        clips), ``skipped`` (reason -> files) and ``problems``, dictionaries of ``file, problem, detail, severity``,
        errors first.

    Raises:
        InputError: an unknown corpus, no such folder, or no fitting file in it.
    """
    if is_table(name, folder):
        table = load_table(folder, labels="keep")
        found = list(_table_problems(table))
    else:
        adapter = find_adapter(name)
        scan = scan_corpus(adapter, folder)
        table = clip_table(adapter, scan, folder)
        found = list(_corpus_problems(adapter, scan, table))
    clips = examine_clips(table, Path(table.attrs["root"]))
    found = [*clip_problems(table, clips), *found]
    return {
        "corpus": name,
        "root": table.attrs["root"],
        "clips": len(table),
        "speakers": int(table["speaker"].nunique()),
        "emotions": _counts(table["emotion"]),
        "genders": _counts(table["gender"]),
        "clips_by_speaker": _counts(table["speaker"]),
        "hours": sum(clip.seconds for clip in clips) / 3600,
        "rates": _counts(pd.Series([clip.rate for clip in clips if clip.rate], dtype=int)),
        "channels": _counts(pd.Series([clip.channels for clip in clips if clip.channels], dtype=int)),
        "skipped": table.attrs["skipped"],
        "problems": sorted(found, key=lambda problem: problem["severity"]),
    }


def format_report(report: dict[str, Any], limit: int = 5) -> str:
    """The report of `check_corpus` as text, with the first problems of each kind.

    Examples:
        >>> report = {"corpus": "mine", "root": "/data/mine", "clips": 2, "speakers": 1, "hours": 0.001,
        ...     "clips_by_speaker": {"a": 2}, "genders": {"female": 2},
        ...     "emotions": {"fear": 2}, "rates": {16000: 2}, "channels": {1: 2}, "skipped": {}, "problems": []}
        >>> print(format_report(report))
        mine in /data/mine
        clips     2 (0.00 hours)
        speakers  1 (2 clips each)
        genders   female 2
        emotions  fear 2
        rates     16000 Hz 2
        channels  1: 2
        problems  none
    """
    lines = [
        one_line(f"{report['corpus']} in {report['root']}"),
        f"clips     {report['clips']:,} ({report['hours']:.2f} hours)",
        f"speakers  {report['speakers']}{_clips_each(report['clips_by_speaker'])}",
        f"genders   {_listed(report['genders'])}",
        f"emotions  {_listed(report['emotions'])}",
        f"rates     {', '.join(f'{rate} Hz {n}' for rate, n in report['rates'].items()) or 'unknown'}",
        f"channels  {', '.join(f'{channels}: {n}' for channels, n in report['channels'].items()) or 'unknown'}",
    ]
    if report["skipped"]:
        lines.append(f"skipped   {_listed(report['skipped'])}")
    lines.append(f"problems  {_severities(report['problems'])}")
    kinds: dict[tuple[str, str], list[dict[str, str]]] = {}
    for problem in report["problems"]:
        kinds.setdefault((problem["severity"], problem["problem"]), []).append(problem)
    for (severity, kind), problems in kinds.items():
        lines.append(f"  {severity}: {kind}" + (f" ({len(problems)})" if len(problems) > 1 else ""))
        named = (": ".join(filter(None, (one["file"], one["detail"]))) for one in problems[:limit])
        lines += [f"    {one_line(text)}" for text in named]
        if len(problems) > limit:
            lines.append(f"    and {len(problems) - limit} more")
    return "\n".join(lines)


def _corpus_problems(adapter: Adapter, scan: Scan, table: pd.DataFrame) -> Iterator[dict[str, str]]:
    for one, other in scan.duplicates:
        yield problem_row(other, "twice", f"the same clip as {one}; delete one of the two", "error")
    for file in scan.unparsed:
        yield problem_row(file, "name", f"does not fit {adapter.pattern}; it is not loaded", "warning")
    if adapter.n_clips:
        yield from _missing_parts(adapter, table)
    if table["gender"].isna().all():
        yield problem_row("", "gender", "no gender is known; splits cannot be balanced by gender", "warning")


def _missing_parts(adapter: Adapter, table: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Missing classes and missing clips, compared with the complete corpus."""
    absent = set(adapter.emotions) - set(table["emotion"]) - set(adapter.left_out)
    if absent:
        yield problem_row("", "class", f"no clip of {', '.join(sorted(absent))}", "warning")
    if len(table) in adapter.n_clips:
        return
    complete = " or ".join(f"{n:,}" for n in adapter.n_clips)
    detail = f"{complete} clips expected, {len(table):,} found"
    speakers = table["speaker"].value_counts().sort_index()
    usual = int(speakers.mode().max())
    short = speakers[speakers < usual]
    # If most speakers have the same number of clips, the others are incomplete. In DEMoS all numbers differ.
    if len(short) and (speakers == usual).mean() > 0.5:
        listed = [f"{speaker} ({n} of {usual})" for speaker, n in short.items()]
        detail += f"; incomplete speakers: {shorten(listed, 10)}"
    else:
        detail += f", of {len(speakers)} speaker{'s' if len(speakers) > 1 else ''}"
    yield problem_row("", "clips", detail, "warning")


def _table_problems(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    nameless = int(table["speaker"].isna().sum())
    if nameless and table["split"].isna().all():
        detail = f"{nameless} of {len(table)} clips have no speaker, and there is no split; add either column"
        yield problem_row("", "split", detail, "warning")
    for emotion, n in _counts(table["emotion"]).items():
        if emotion not in EMOTIONS:
            yield problem_row("", "class", f"{emotion!r} ({n} clips) is not in the vocabulary", "warning")
    for speaker, row in speaker_overlap(table).iterrows():
        splits = ", ".join(row.index[row > 0])
        yield problem_row("", "split", f"speaker {speaker} is in {splits}; split by speaker", "warning")


def _counts(values: pd.Series) -> dict[Any, int]:
    """How often each value occurs, sorted by value, as plain Python."""
    return {key: int(n) for key, n in values.value_counts().sort_index().items()}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{one_line(name)} {n}" for name, n in counts.items()) or "none"


def _clips_each(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    fewest, most = min(counts.values()), max(counts.values())
    return f" ({fewest if fewest == most else f'{fewest} to {most}'} clips each)"


def _severities(problems: list[dict[str, str]]) -> str:
    counts = Counter(problem["severity"] for problem in problems)
    return ", ".join(f"{n} {severity}{'s' * (n > 1)}" for severity, n in sorted(counts.items())) or "none"
