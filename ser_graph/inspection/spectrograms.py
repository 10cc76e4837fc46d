"""Spectrograms of one clip, or of a clip and its neighbours."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ser_graph.audio.settings import LogMelSettings
from ser_graph.evaluation.figures import new_axes
from ser_graph.graph import ClipGraph
from ser_graph.inspection.clips import clip_color, clip_node, describe, neighbours_of, why_alone

_DYNAMIC_RANGE = 80.0  # dB below the loudest that are told apart
_TICKS = (500, 1000, 2000, 4000, 8000, 16_000)  # Hz


def plot_spectrogram(data: ClipGraph, clip: str | int, ax: Axes | None = None) -> Axes:
    """The log-mel spectrogram of a clip, as the students see it.

    Clips are repeated to the input length of the students. A white line shows the start of each repetition.

    Args:
        data: the graph.
        clip: a file of the clip table, or the number of a node.
        ax: axes to draw on; a new figure by default.

    Raises:
        InputError: no such clip.
    """
    node = clip_node(data, clip)
    ax = ax or new_axes(7.0, 2.6)
    decibels = _decibels(data, [node])
    image = _draw(data, node, decibels[0], ax, *_limits(decibels))
    ax.set_title(describe(data, node), fontsize=9, loc="left", parse_math=False)
    ax.set_xlabel("s")
    ax.figure.colorbar(image, ax=ax, label="dB", pad=0.01)
    return ax


def plot_neighbours(data: ClipGraph, clip: str | int) -> np.ndarray:
    """The spectrograms of a clip and, below, of its neighbours, nearest first, with the same colour scale.

    The colour of a frame is the emotion.

    Args:
        data: the graph.
        clip: a file of the clip table, or the number of a node.

    Returns:
        [1 + number of neighbours] axes of a new figure.

    Raises:
        InputError: no such clip.
    """
    node = clip_node(data, clip)
    neighbours, similarities = neighbours_of(data, node)
    nodes = [node, *neighbours]
    figure = Figure(figsize=(7.0, 0.7 + 1.35 * len(nodes)), layout="constrained", dpi=150)
    axes = figure.subplots(len(nodes), sharex=True, sharey=True, squeeze=False)[:, 0]
    decibels = _decibels(data, nodes)
    limits = _limits(decibels)
    for ax, shown, values, similarity in zip(axes, nodes, decibels, [None, *similarities], strict=True):
        image = _draw(data, shown, values, ax, *limits)
        ax.set_title(describe(data, shown, similarity), fontsize=8, loc="left", parse_math=False)
    if not neighbours:
        axes[0].set_title(why_alone(data, node), fontsize=8, loc="right")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(axes), label="dB", pad=0.01, aspect=15 * len(nodes))
    return axes


def mel_places(frequencies: np.ndarray, settings: LogMelSettings) -> np.ndarray:
    """Positions of frequencies (Hz) in mel bins: 0 is the middle of the lowest bin, fractions are between bins.

    The formulas of the two mel scales are those of librosa and torchaudio.
    """
    f_max = settings.sample_rate / 2 if settings.f_max is None else settings.f_max
    low, high = _mel(np.array([settings.f_min, f_max]), settings.mel_scale)
    return (_mel(np.asarray(frequencies, float), settings.mel_scale) - low) / (high - low) * (
        settings.n_mels + 1
    ) - 1


def _mel(frequencies: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 2595 * np.log10(1 + frequencies / 700)
    above = 15 + 27 * np.log(np.maximum(frequencies, 1000) / 1000) / np.log(6.4)
    return np.where(frequencies < 1000, frequencies * 3 / 200, above)


def _decibels(data: ClipGraph, nodes: list[int]) -> np.ndarray:
    """[len(nodes), n_frames, n_mels] in dB: the graph contains natural logarithms of power."""
    return data.x[nodes].float().numpy() * (10 / np.log(10))


def _limits(decibels: np.ndarray) -> tuple[float, float]:
    high = float(decibels.max())
    return max(float(decibels.min()), high - _DYNAMIC_RANGE), high


def _draw(data: ClipGraph, node: int, decibels: np.ndarray, ax: Axes, low: float, high: float) -> AxesImage:
    settings = data.meta.features
    n_frames, n_mels = decibels.shape
    hop = settings.hop_length / settings.sample_rate
    start = (settings.n_fft - settings.hop_length) / 2 / settings.sample_rate  # a frame is centred on its time
    extent = (start, start + n_frames * hop, -0.5, n_mels - 0.5)
    image = ax.imshow(decibels.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high)
    duration = data.table["duration"].iloc[node]
    if duration < extent[1]:
        ax.axvline(duration, color="white", linewidth=1, linestyle="--")
    places = mel_places(np.array(_TICKS), settings)
    shown = (places >= 0) & (places <= n_mels - 0.5)
    ax.set_yticks(places[shown], labels=[f"{hertz:g}" for hertz in np.array(_TICKS)[shown]], fontsize=7)
    ax.set_ylabel("Hz", fontsize=8)
    for spine in ax.spines.values():
        spine.set(color=clip_color(data, node), linewidth=2.5)
    return image
