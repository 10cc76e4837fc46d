"""Check a corpus: list its contents and its problems. Every clip is decoded; nothing is changed.

==============  ========  ==========================================================================
problem         severity  meaning
==============  ========  ==========================================================================
missing         error     no such file
pointer         error     a git-lfs pointer, a small text in place of the sound file
empty           error     no bytes, or no samples
unreadable      error     the file may not be read
not audio       error     libsndfile cannot open the file
bad rate        error     the header says fewer than 1,000 or more than 1,000,000 samples a second
truncated       error     the file is shorter than its header says, or decoding stops
not finite      error     samples that are NaN or infinite
wrong scale     error     samples above 100, where full scale is 1: integers that were stored as floats
silent          error     no sample is louder than -60 dB of full scale once the channels are averaged
too short       error     less than 0.1 s
same audio      either    the same samples as another clip; an error if the labels differ
low rate        warning   below 16 kHz
==============  ========  ==========================================================================

`check_corpus` also checks the corpus as a whole: repeated clips, names that do not fit, missing classes and clips,
speakers in two splits.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_graph.audio.sound import SoundError, SoundReader, open_sound
from ser_graph.corpora.adapter import Adapter, Scan, clip_table, scan_corpus
from ser_graph.corpora.loading import find_adapter, is_table
from ser_graph.corpora.splits import speaker_overlap
from ser_graph.corpora.table import load_table
from ser_graph.corpora.vocabulary import EMOTIONS
from ser_graph.errors import InputError, one_line, shorten

logger = logging.getLogger(__name__)

SILENCE = 1e-3  # -60 dB; the quietest clip of RAVDESS, a whispered "calm", peaks at 4.5e-3
SHORTEST = 0.1  # seconds
LOWEST_RATE = 16_000  # Hz, the rate of the training data of speech models
_WARNINGS = frozenset({"low rate", "same audio"})


@dataclass
class _Clip:
    """The result of decoding one file; empty values if decoding failed."""

    rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    digest: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)


def check_clips(table: pd.DataFrame, root: str | Path | None = None) -> pd.DataFrame:
    """Decode every clip of a table and list the problems.

    Args:
        table: a clip table.
        root: the corpus folder; by default the folder from which the table was loaded.

    Returns:
        One row per problem: ``file, problem, detail, severity``; no rows if there are no problems.

    Examples:
        >>> clips = pd.DataFrame({"emotion": ["fear"]}, index=["lost.wav"])
        >>> check_clips(clips, root=".")[["file", "problem", "severity"]].values.tolist()
        [['lost.wav', 'missing', 'error']]
    """
    return _frame(_problems(table, _examine_all(table, _root(table, root))))


def usable_clips(table: pd.DataFrame, problems: pd.DataFrame, *, skip_bad: bool = False) -> pd.DataFrame:
    """The clips of a table that can be used, if the user allows to leave out the others.

    Args:
        table: a clip table.
        problems: the result of `check_clips` for this table.
        skip_bad: leave out clips with an error, instead of refusing the table.

    Raises:
        InputError: a clip cannot be used and `skip_bad` is False, or no clip can be used.
    """
    bad = problems[problems["severity"] == "error"]
    if not len(bad):
        return table
    files, first = bad["file"].unique(), bad.iloc[0]
    example = f"{first['file']} ({first['problem']}: {first['detail']})"
    if len(files) == len(table):
        raise InputError(f"None of the {len(table)} clips can be used, e.g. {example}")
    if not skip_bad:
        raise InputError(
            f"{len(files)} of {len(table)} clips cannot be used, e.g. {example}; list them with 'ser-graph check', "
            "repair them, or leave them out (--skip-bad)"
        )
    for row in bad.to_dict("records"):
        logger.info("Left out: %s (%s: %s)", one_line(row["file"]), row["problem"], one_line(row["detail"]))
    return table.drop(index=list(files))


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
    clips = _examine_all(table, _root(table, None))
    found = [*_problems(table, clips), *found]
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
        f"{report['corpus']} in {report['root']}",
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
        lines += [f"    {': '.join(filter(None, (one['file'], one['detail'])))}" for one in problems[:limit]]
        if len(problems) > limit:
            lines.append(f"    and {len(problems) - limit} more")
    return "\n".join(lines)


def _examine_all(table: pd.DataFrame, root: Path) -> list[_Clip]:
    with ThreadPoolExecutor() as pool:  # libsndfile and the hash run without Python's lock
        clips = pool.map(lambda file: _examine(root / file), table.index)
        return list(tqdm(clips, "checking", len(table), unit=" clips", disable=None))


def _examine(path: Path) -> _Clip:
    clip = _Clip()
    try:
        with open_sound(path) as sound:
            clip.rate, clip.channels = sound.rate, sound.channels
            _decode(sound, clip)
    except SoundError as error:
        clip.problems.append((error.problem, error.detail))
    if 0 < clip.rate < LOWEST_RATE:
        clip.problems.append(("low rate", f"{clip.rate} Hz: there is no sound above {clip.rate // 2} Hz"))
    return clip


def _decode(sound: SoundReader, clip: _Clip) -> None:
    """Decode a file and check its samples; as for a model, the channels are averaged."""
    digest = hashlib.blake2b(digest_size=16, person=f"{clip.rate}".encode())
    mono: list[float] = []  # lowest and highest samples: a constant offset is not sound
    first: list[float] = []
    frames = 0
    for block in sound.blocks():
        frames += len(block)
        digest.update(block.tobytes())
        mean = block.mean(axis=1)
        mono += [mean.min(), mean.max()]
        first += [block[:, 0].min(), block[:, 0].max()]
    clip.seconds = frames / clip.rate
    if np.ptp(mono) < 2 * SILENCE:
        level = f"{20 * np.log10(SILENCE):.0f} dB of full scale"
        cancelled = f"its {clip.channels} channels cancel each other: averaged, " * (np.ptp(first) >= 2 * SILENCE)
        clip.problems.append(("silent", f"{cancelled}no sample is above {level}; leave it out"))
    if clip.seconds < SHORTEST:
        clip.problems.append(("too short", f"{clip.seconds:.3f} s, under {SHORTEST} s; leave it out"))
    if not clip.problems:
        clip.digest = digest.hexdigest()


def _problems(table: pd.DataFrame, clips: list[_Clip]) -> list[dict[str, str]]:
    """The problems of every clip, in the order of the table, and the clips with the same audio."""
    first: dict[str, int] = {}
    found = []
    for place, (file, clip) in enumerate(zip(table.index, clips, strict=True)):
        found += [_problem(file, problem, detail) for problem, detail in clip.problems]
        if clip.digest and first.setdefault(clip.digest, place) != place:
            found.append(_same_audio(table, first[clip.digest], place))
    return found


def _same_audio(table: pd.DataFrame, one: int, other: int) -> dict[str, str]:
    detail = f"the same audio as {table.index[one]}"
    labels = [table["emotion"].iloc[place] for place in (one, other)]
    if pd.notna(labels).all() and labels[0] != labels[1]:
        detail += f", labelled {labels[0]}, but this one is labelled {labels[1]}; leave both out, or correct one"
        return _problem(table.index[other], "same audio", detail, "error")
    return _problem(table.index[other], "same audio", f"{detail}; keep one, or keep both in one split")


def _corpus_problems(adapter: Adapter, scan: Scan, table: pd.DataFrame) -> Iterator[dict[str, str]]:
    for one, other in scan.duplicates:
        yield _problem(other, "twice", f"the same clip as {one}; delete one of the two", "error")
    for file in scan.unparsed:
        yield _problem(file, "name", f"does not fit {adapter.pattern}; it is not loaded", "warning")
    if adapter.n_clips:
        yield from _missing_parts(adapter, table)
    if table["gender"].isna().all():
        yield _problem("", "gender", "no gender is known; splits cannot be balanced by gender", "warning")


def _missing_parts(adapter: Adapter, table: pd.DataFrame) -> Iterator[dict[str, str]]:
    """Missing classes and missing clips, compared with the complete corpus."""
    absent = set(adapter.emotions) - set(table["emotion"]) - set(adapter.left_out)
    if absent:
        yield _problem("", "class", f"no clip of {', '.join(sorted(absent))}", "warning")
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
    yield _problem("", "clips", detail, "warning")


def _table_problems(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    nameless = int(table["speaker"].isna().sum())
    if nameless and table["split"].isna().all():
        detail = f"{nameless} of {len(table)} clips have no speaker, and there is no split; add either column"
        yield _problem("", "split", detail, "warning")
    for emotion, n in _counts(table["emotion"]).items():
        if emotion not in EMOTIONS:
            yield _problem("", "class", f"{emotion!r} ({n} clips) is not in the vocabulary", "warning")
    for speaker, row in speaker_overlap(table).iterrows():
        splits = ", ".join(row.index[row > 0])
        yield _problem("", "split", f"speaker {speaker} is in {splits}; split by speaker", "warning")


def _problem(file: str, problem: str, detail: str, severity: str | None = None) -> dict[str, str]:
    severity = severity or ("warning" if problem in _WARNINGS else "error")
    return {"file": file, "problem": problem, "detail": detail, "severity": severity}


def _frame(problems: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(problems, columns=["file", "problem", "detail", "severity"])


def _root(table: pd.DataFrame, root: str | Path | None) -> Path:
    root = table.attrs.get("root") if root is None else root
    if root is None:
        raise InputError("The folder of the clips is unknown; give it: check_clips(table, root=FOLDER)")
    return Path(root).expanduser()


def _counts(values: pd.Series) -> dict[Any, int]:
    """How often each value occurs, sorted by value, as plain Python."""
    return {key: int(n) for key, n in values.value_counts().sort_index().items()}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"


def _clips_each(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    fewest, most = min(counts.values()), max(counts.values())
    return f" ({fewest if fewest == most else f'{fewest} to {most}'} clips each)"


def _severities(problems: list[dict[str, str]]) -> str:
    counts = Counter(problem["severity"] for problem in problems)
    return ", ".join(f"{n} {severity}{'s' * (n > 1)}" for severity, n in sorted(counts.items())) or "none"
