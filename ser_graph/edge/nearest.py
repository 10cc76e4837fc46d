"""The labelled clips of a graph in the embedding space of a model, `fc1`. Without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ser_graph.common.files import atomic_file
from ser_graph.common.progress import progress_bar
from ser_graph.corpora.copies import originals
from ser_graph.edge.models import Model
from ser_graph.errors import InputError
from ser_graph.graph.compatibility import check_compatible
from ser_graph.graph.stored import read_stored_graph
from ser_graph_runtime.nearest import NEAREST_VERSION, Nearest, file_hash

if TYPE_CHECKING:
    from ser_graph.graph import ClipGraph

BATCH = 16


def nearest_of_graph(
    model: Model,
    graph: "str | Path | ClipGraph",
    *,
    k: int = 3,
    n_clips: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Nearest:
    """The labelled training clips of a graph, embedded by a model; without copies at other speeds.

    `k` is the number of clips to name. At most `n_clips` clips are used, drawn at random; None takes all.

    Raises:
        InputError: no graph in the folder, a graph with other spectrograms or emotions than the model, or a graph
            without labels.
    """
    if isinstance(graph, str | Path):
        table, spectrograms, meta = read_stored_graph(graph)
    else:
        table, spectrograms, meta = graph.table, graph.x.numpy(), graph.meta
    check_compatible(meta, model.features, model.emotions)
    known = (table["emotion"].notna() & (table["split"] == "train")).to_numpy(bool) & originals(table)
    rows = np.flatnonzero(known)
    if not len(rows):
        raise InputError("The graph has no labelled training clip to name; give the graph of the training")
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:n_clips])
    voices = clip_voices(spectrograms, table["speaker"], rows) if model.normalises_by_speaker else None
    fc1 = []
    for start in progress_bar(
        range(0, len(rows), BATCH), desc="clips of the graph", unit="batch", disable=not progress, delay=1
    ):
        part = slice(start, start + BATCH)
        fc1.append(model.of_spectrograms(spectrograms[rows[part]], None if voices is None else voices[part])[1])
    files = [str(file) for file in table.index[rows]]
    emotions = [str(emotion) for emotion in table["emotion"].iloc[rows]]
    return Nearest(files, emotions, np.concatenate(fc1), k=k, root=table.attrs.get("root"))


def clips_themselves(nearest: Nearest, recordings: Mapping[str, Path]) -> dict[str, str]:
    """The recordings that are themselves labelled clips: name of the recording -> name of the clip."""
    root = Path(nearest.root or ".").expanduser()
    clips = {(root / file).resolve(): file for file in nearest.files}
    own = {name: clips.get(path.expanduser().resolve()) for name, path in recordings.items()}
    return {name: file for name, file in own.items() if file is not None}


def write_nearest(nearest: Nearest, model: Path, out: Path) -> None:
    """Write labelled clips of an exported model to NAME.nearest.npz, as `load_nearest` reads them.

    The embeddings are stored as float16; similarities change by less than 0.001.
    """
    with atomic_file(out) as part:
        np.savez_compressed(
            part,
            version=np.array(NEAREST_VERSION),
            model=np.array(file_hash(model)),
            files=np.array(nearest.files),
            emotions=np.array(nearest.emotions),
            fc1=nearest.fc1.astype(np.float16),
        )


def clip_voices(spectrograms: np.ndarray, speaker: pd.Series, rows: np.ndarray) -> np.ndarray:
    """Statistics of the speakers of some clips, over all their clips, as in training; 0 for an unknown speaker.

    Takes [N, n_frames, n_mels] spectrograms, the speaker of each, and [M] rows; gives [M, 3, n_mels] float32: in
    numpy, the same as `known_voices` in torch.
    """
    codes = pd.factorize(speaker)[0]  # -1 without a speaker
    voices = np.zeros((len(rows), 3, spectrograms.shape[-1]), np.float32)
    for code in np.unique(codes[rows][codes[rows] >= 0]):
        voices[codes[rows] == code] = _frame_statistics(spectrograms, np.flatnonzero(codes == code))
    return voices


def _frame_statistics(spectrograms: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[3, n_mels] number, mean and variance of all frames of some clips, read one by one."""
    near = spectrograms[rows[0]].mean(axis=0, dtype=float)  # squares of distances from 0 would lose digits
    total, squares = np.zeros_like(near), np.zeros_like(near)
    for row in rows:
        deviation = spectrograms[row] - near
        total += deviation.sum(axis=0)
        squares += np.square(deviation).sum(axis=0)
    count = len(rows) * spectrograms.shape[1]
    mean = total / count
    return np.stack([np.full_like(mean, count), near + mean, squares / count - np.square(mean)])
