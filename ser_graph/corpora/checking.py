"""Check clips: every clip is decoded, and its problems are listed; nothing is changed.

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
odd rate        warning   an unusual sampling rate, e.g. 16,001 Hz
==============  ========  ==========================================================================

`corpus_check` also checks the corpus as a whole.
"""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ser_graph.common.progress import progress_bar
from ser_graph.common.text import printable
from ser_graph.corpora.adapter import as_text
from ser_graph.errors import InputError, one_line
from ser_graph_runtime.arrays import NO_SOUND, Mixer
from ser_graph_runtime.sound import SoundError, SoundReader, open_sound

logger = logging.getLogger(__name__)

SHORTEST = 0.1  # seconds
LOWEST_RATE = 16_000  # Hz, the rate of the training data of speech models
USUAL_RATES = frozenset(base * 2**power for base in (8_000, 11_025, 12_000) for power in range(5))  # Hz
_WARNINGS = frozenset({"low rate", "odd rate", "same audio"})


@dataclass
class DecodedClip:
    """The result of decoding one file; empty values if decoding failed.

    Attributes:
        rate: samples per second.
        channels: number of channels.
        codec: container and encoding, e.g. ``"FLAC PCM_16"``.
        seconds: duration.
        level: mean power of the mono sound in dB of full scale; NaN for digital silence.
        silence: share of its 20 ms frames that are more than 40 dB below its loudest frame, from 0 to 1.
        digest: a hash of the samples; empty if the clip has problems.
        problems: what is wrong, and a detail of it.
    """

    rate: int = 0
    channels: int = 0
    codec: str = ""
    seconds: float = 0.0
    level: float = np.nan
    silence: float = np.nan
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
    return _frame(clip_problems(table, examine_clips(table, _root(table, root))))


def usable_clips(table: pd.DataFrame, problems: pd.DataFrame, *, skip_bad: bool = False) -> pd.DataFrame:
    """The clips of a table without errors in `problems`, the result of `check_clips`.

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


def examine_clips(table: pd.DataFrame, root: Path, *, progress: bool = True) -> list[DecodedClip]:
    """Decode every clip of a table, in its order."""
    with ThreadPoolExecutor() as pool:  # libsndfile and the hash run without Python's lock
        clips = pool.map(lambda file: _examine(root / file), table.index)
        return list(progress_bar(clips, "checking", total=len(table), unit="clip", disable=not progress))


def clip_measures(clips: list[DecodedClip]) -> pd.DataFrame:
    """What decoding measured: numbers `duration`, `level`, `silence`; texts `rate`, `channels`, `codec`.

    Returns:
        One row per clip, in their order; NaN for a clip that could not be decoded. See `DecodedClip`.
    """
    rows = [
        (
            clip.seconds or None,
            clip.level,
            clip.silence,
            clip.rate or None,
            clip.channels or None,
            clip.codec or None,
        )
        for clip in clips
    ]
    table = pd.DataFrame(rows, columns=["duration", "level", "silence", "rate", "channels", "codec"])
    texts = ["rate", "channels", "codec"]
    table[texts] = table[texts].apply(as_text)
    return table.astype(dict.fromkeys(["duration", "level", "silence"], float))


def _examine(path: Path) -> DecodedClip:
    clip = DecodedClip()
    try:
        with open_sound(path) as sound:
            clip.rate, clip.channels, clip.codec = sound.rate, sound.channels, sound.codec
            _decode(sound, clip)
    except SoundError as error:
        clip.problems.append((error.problem, error.detail))
    if 0 < clip.rate < LOWEST_RATE:
        clip.problems.append(("low rate", f"{clip.rate} Hz: there is no sound above {clip.rate // 2} Hz"))
    if clip.rate and clip.rate not in USUAL_RATES:
        clip.problems.append(("odd rate", f"{clip.rate} Hz is not a usual rate; check the header of the file"))
    return clip


def _decode(sound: SoundReader, clip: DecodedClip) -> None:
    """Decode a file and check its samples; as for a model, the channels are averaged."""
    digest = hashlib.blake2b(digest_size=16, person=f"{clip.rate}".encode())
    mixer = Mixer()
    powers: list[np.ndarray] = []
    frames = 0
    for block in sound.blocks():
        frames += len(block)
        digest.update(block.tobytes())
        powers.append(_frame_powers(mixer(block, 1), max(1, sound.rate // 50)))
    _measure_level(np.concatenate(powers), clip)
    clip.seconds = frames / clip.rate
    if mixer.is_faint:
        clip.problems.append(("silent", mixer.cancellation or f"{NO_SOUND}; leave it out"))
    if clip.seconds < SHORTEST:
        clip.problems.append(("too short", f"{clip.seconds:.3f} s, under {SHORTEST} s; leave it out"))
    if not clip.problems:
        clip.digest = digest.hexdigest()


def _frame_powers(mono: np.ndarray, length: int) -> np.ndarray:
    """The mean power of each frame; samples that fill no frame are left out, unless there is no whole frame."""
    whole = mono[: len(mono) // length * length] if len(mono) >= length else mono
    return np.square(whole, dtype=np.float64).reshape(-1, min(length, len(whole))).mean(axis=1)


def _measure_level(powers: np.ndarray, clip: DecodedClip) -> None:
    if powers.max() > 0:
        clip.level = float(10 * np.log10(powers.mean()))
        clip.silence = float((powers < powers.max() * 1e-4).mean())


def clip_problems(table: pd.DataFrame, clips: list[DecodedClip]) -> list[dict[str, str]]:
    """The problems of every clip, in the order of the table, and the clips with the same audio."""
    first: dict[str, int] = {}
    found = []
    for place, (file, clip) in enumerate(zip(table.index, clips, strict=True)):
        found += [problem_row(file, problem, detail) for problem, detail in clip.problems]
        if clip.digest and first.setdefault(clip.digest, place) != place:
            found.append(_same_audio(table, first[clip.digest], place))
    return found


def _same_audio(table: pd.DataFrame, one: int, other: int) -> dict[str, str]:
    detail = f"the same audio as {table.index[one]}"
    labels = [table["emotion"].iloc[place] for place in (one, other)]
    if pd.notna(labels).all() and labels[0] != labels[1]:
        detail += f", labelled {labels[0]}, but this one is labelled {labels[1]}; leave both out, or correct one"
        return problem_row(table.index[other], "same audio", detail, "error")
    return problem_row(table.index[other], "same audio", f"{detail}; keep one, or keep both in one split")


def problem_row(file: str, problem: str, detail: str, severity: str | None = None) -> dict[str, str]:
    """A row of a list of problems; by default, the severity is that of the problem."""
    severity = severity or ("warning" if problem in _WARNINGS else "error")
    return {"file": printable(file), "problem": problem, "detail": printable(detail), "severity": severity}


def _frame(problems: list[dict[str, str]]) -> pd.DataFrame:
    return pd.DataFrame(problems, columns=["file", "problem", "detail", "severity"])


def _root(table: pd.DataFrame, root: str | Path | None) -> Path:
    root = table.attrs.get("root") if root is None else root
    if root is None:
        raise InputError("The folder of the clips is unknown; give it: check_clips(table, root=FOLDER)")
    return Path(root).expanduser()
