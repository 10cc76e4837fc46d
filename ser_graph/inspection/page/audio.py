"""The source of a page's sound: inside the page, the files of the corpus, the notebook, or none."""

import base64
import io
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from ser_graph.audio.clips import clip_paths, clip_speeds, of_shards
from ser_graph.audio.reading import load_waveform, write_mp3
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.common.progress import progress_bar
from ser_graph.errors import InputError, bad_value

AUDIO = ("auto", "embed", "reference", "none")
EMBED_UP_TO = 1000  # clips; about 15 MB


def page_audio(
    table: pd.DataFrame, how: str, *, root: str | Path | None, folder: Path, progress: bool = True
) -> dict[str, Any]:
    """The sound of the clips, in the form that a page plays.

    Args:
        table: the clips of the page, in its order.
        how: ``"embed"`` (mono MP3 inside the page), ``"reference"`` (the files of the corpus, by their paths
            relative to the page's folder), ``"none"``, or ``"auto"``: embed up to 1,000 clips, reference more
            clips, and no sound if there are no files. Copies at other speeds and clips of shards have no
            file, so they cannot be referenced.
        root: the corpus folder; by default the folder from which the table was loaded.
        folder: the folder of the page.
        progress: show a progress bar while files are encoded.

    Returns:
        `kind`, `note` (a sentence that the page shows) and `sources`, one URI per clip (None if there is none).

    Raises:
        InputError: an unknown way, or no files although they are needed.
    """
    if how not in AUDIO:
        raise bad_value("way to get audio", how, AUDIO)
    if how == "none":
        return _none("This page was made without sound.")
    try:
        paths = clip_paths(table, root)
    except InputError:
        if how != "auto":
            raise
        return _none("No sound: the corpus was not available when this page was made.")
    if how == "embed" or (how == "auto" and len(paths) <= EMBED_UP_TO):
        return _embedded(paths, clip_speeds(table), progress)
    return _referenced(paths, clip_speeds(table), of_shards(table), folder)


def encode_clip(path: str | Path, speed: float = 1.0) -> str | None:
    """A clip as a data URI that browsers play: MP3, 16 kHz, mono; None if the file cannot be read."""
    try:
        waveform = load_waveform(path, speed=speed)
    except (InputError, UnicodeEncodeError):  # the latter: soundfile opens no name that is not UTF-8
        return None
    file = io.BytesIO()
    write_mp3(file, waveform.numpy(), SAMPLE_RATE)
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _none(note: str) -> dict[str, Any]:
    return {"kind": "none", "note": note, "sources": None}


def _embedded(paths: list[Path], speeds: list[float], progress: bool) -> dict[str, Any]:
    clips = list(zip(paths, speeds, strict=True))
    bar = progress_bar(clips, desc="sound", unit="clip", disable=not progress or len(paths) < 50)
    sources = Parallel(n_jobs=-1, prefer="threads")(delayed(encode_clip)(*clip) for clip in bar)
    note = "Sound is inside this page (MP3, 16 kHz, mono)."
    if unreadable := sources.count(None):
        note += f" {unreadable} of {len(paths)} files could not be read."
    return {"kind": "embed", "note": note, "sources": sources}


def _referenced(paths: list[Path], speeds: list[float], inside: np.ndarray, folder: Path) -> dict[str, Any]:
    clips = zip(paths, speeds, inside, strict=True)
    sources = [_way(folder, path) if speed == 1 and not shard else None for path, speed, shard in clips]
    note = "Sound comes from the files of the corpus: do not move the files or this page."
    return {"kind": "reference", "note": note, "sources": sources}


def _way(folder: Path, path: Path) -> str:
    """The relative path from the page to a file as a URL; an absolute URL if there is no such path (other drives).

    The function does not follow links in paths, because browsers do not follow them in the page's address either.
    """
    try:
        way = Path(os.path.relpath(path, folder))
    except ValueError:
        return path.absolute().as_uri()
    return quote(os.fsencode(way.as_posix()))  # bytes, because a name may not be UTF-8
