"""Labelled training clips of a graph as files of a page that listens: name, emotion, `fc1`, and perhaps sound."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import soundfile
from tqdm.auto import tqdm

from ser_graph.audio.clips import clip_paths
from ser_graph.audio.sound import read_mono
from ser_graph.common.files import write_json
from ser_graph.edge.models import Model
from ser_graph.edge.nearest import BATCH, clip_voices
from ser_graph.errors import InputError
from ser_graph.graph.compatibility import check_compatible
from ser_graph.graph.stored import read_stored_graph

if TYPE_CHECKING:
    from ser_graph.graph import ClipGraph

_COMPRESSION = 0.5  # of MP3: about 37 kbit/s at 16 kHz


def write_clips(
    folder: Path,
    model: Model,
    graph: "str | Path | ClipGraph",
    *,
    n_clips: int,
    sounds: bool,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Write labelled training clips into the folder of a page.

    `clips.json` holds names and emotions, `clips.bin` the `fc1` of each clip (float32, little-endian, unit length),
    and `clip-0.mp3` and so on their sound.

    Args:
        folder: the folder.
        model: the model of the page.
        graph: the graph of the training, or its folder.
        n_clips: the largest number of clips, drawn at random.
        sounds: write the sound too.
        seed: random seed of the draw.
        progress: show a progress bar.

    Raises:
        InputError: a graph of other spectrograms or emotions, or without labelled training clips; or a clip whose
            sound cannot be read.
    """
    if isinstance(graph, str | Path):
        table, spectrograms, meta = read_stored_graph(graph)
    else:
        table, spectrograms, meta = graph.table, graph.x.numpy(), graph.meta
    check_compatible(meta, model.features, model.emotions)
    rows = _drawn(table, n_clips, seed)
    clips = table.iloc[rows]
    voices = clip_voices(spectrograms, table["speaker"], rows) if model.normalises_by_speaker else None
    fc1 = []
    for start in tqdm(range(0, len(rows), BATCH), desc="clips of the page", disable=not progress, delay=1):
        part = slice(start, start + BATCH)
        fc1.append(model.of_spectrograms(spectrograms[rows[part]], None if voices is None else voices[part])[1])
    vectors = np.concatenate(fc1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    (folder / "clips.bin").write_bytes(unit.astype("<f4").tobytes())
    content = {
        "files": [str(file) for file in clips.index],
        "emotions": clips["emotion"].tolist(),
        "sounds": sounds,
    }
    write_json(folder / "clips.json", content)
    if sounds:
        _write_sounds(folder, clip_paths(clips), model.features["sample_rate"], progress)


def _drawn(table: pd.DataFrame, n_clips: int, seed: int) -> np.ndarray:
    """Rows of labelled training clips in the order of the table; copies at other speeds are left out."""
    known = table["emotion"].notna() & (table["split"] == "train")
    if "copy_of" in table:
        known &= table["copy_of"].isna()
    rows = np.flatnonzero(known.to_numpy(bool))
    if not len(rows):
        raise InputError("The graph has no labelled training clip to name; give the graph of the training")
    return np.sort(np.random.default_rng(seed).permutation(rows)[:n_clips])


def _write_sounds(folder: Path, paths: list[Path], rate: int, progress: bool) -> None:
    for number, path in enumerate(tqdm(paths, desc="sounds of the page", disable=not progress, delay=1)):
        with (folder / f"clip-{number}.mp3").open("wb") as file:
            soundfile.write(
                file,
                read_mono(path, rate),
                rate,
                format="MP3",
                compression_level=_COMPRESSION,
                bitrate_mode="VARIABLE",
            )
