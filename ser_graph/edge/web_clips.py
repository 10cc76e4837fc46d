"""Labelled clips as files of a page that listens: name, emotion, `fc1`, and perhaps sound."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_graph.audio.clips import clip_paths
from ser_graph.audio.reading import write_mp3
from ser_graph.common.files import write_json
from ser_graph.common.progress import progress_bar
from ser_graph_runtime.nearest import Nearest
from ser_graph_runtime.sound import read_mono


def write_clips(folder: Path, clips: Nearest, *, sounds: bool) -> None:
    """Write labelled clips into the folder of a page.

    `clips.json` holds names and emotions, and says whether `write_sounds` adds their sound; `clips.bin` holds the
    `fc1` of each clip (float32, little-endian, unit length).
    """
    unit = clips.fc1 / np.maximum(np.linalg.norm(clips.fc1, axis=1, keepdims=True), 1e-12)
    (folder / "clips.bin").write_bytes(unit.astype("<f4").tobytes())
    write_json(folder / "clips.json", {"files": clips.files, "emotions": clips.emotions, "sounds": sounds})


def write_sounds(folder: Path, table: pd.DataFrame, rate: int, *, progress: bool = True) -> None:
    """Write the sound of clips into the folder of a page, as `clip-0.mp3` and so on.

    Raises:
        InputError: the sound of a clip cannot be read.
    """
    paths = clip_paths(table)
    for number, path in enumerate(
        progress_bar(paths, desc="sounds of the page", unit="clip", disable=not progress, delay=1)
    ):
        with (folder / f"clip-{number}.mp3").open("wb") as file:
            write_mp3(file, read_mono(path, rate), rate)
