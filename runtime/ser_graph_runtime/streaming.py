"""Sound -> windows -> one answer for each window."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np

from ser_graph_runtime.answers import Answer, make_answer
from ser_graph_runtime.arrays import LOUDEST, QUIETEST, repeat_to
from ser_graph_runtime.errors import InputError, shown
from ser_graph_runtime.models import Model
from ser_graph_runtime.nearest import Nearest
from ser_graph_runtime.streams import mono_stream


def listen(
    model: Model,
    source: "BinaryIO | str | tuple[Any, int] | Iterable[Any]",
    *,
    rate: int | None = None,
    window: float | None = None,
    hop: float | None = None,
    nearest: Nearest | None = None,
) -> Iterator[Answer]:
    """Answer for each window of a stream, as soon as the window is complete; see `Recogniser.stream`."""
    length, step = window_samples(model, window, hop)
    blocks = mono_stream(source, rate, model.features["sample_rate"])
    n = 0
    for answer, _ in predict_windows(model, cut(blocks, length, step), nearest):
        n += 1
        yield answer
    if not n:
        raise InputError("The stream ended without a sample; is the program that feeds it running?")


def predict_windows(
    model: Model,
    windows: Iterable[tuple[int, np.ndarray]],
    nearest: Nearest | None = None,
    voice: np.ndarray | None = None,
) -> Iterator[tuple[Answer, np.ndarray | None]]:
    """Predict the windows of one voice, in their order.

    The prediction of a window uses the statistics of the voice from before the window. If windows overlap, a window
    updates the statistics only if it starts at or after the end of the last window that updated them: no sample
    counts twice.

    Args:
        model: the model.
        windows: the start and the samples of each window, see `cut`.
        nearest: labelled clips, to name the most similar ones.
        voice: [1, 3, n_mels] statistics of the voice before the first window, see `Model.hear`.

    Yields:
        The answer for the window, and the statistics of the voice by then: None if the model does not normalise
        by speaker.
    """
    after, end = voice, 0
    for start, samples in windows:
        counts = start >= end
        if counts:
            voice, end = after, start + len(samples)
        prediction, known = predict_window(model, samples, start, nearest, voice)
        if counts:
            after = known
        yield prediction, after


def predict_window(
    model: Model,
    samples: np.ndarray,
    start: int,
    nearest: Nearest | None = None,
    voice: np.ndarray | None = None,
) -> tuple[Answer, np.ndarray | None]:
    """Predict one window, which starts at sample `start`; returns the updated statistics of the voice too.

    Raises:
        InputError: samples that are not numbers, or far too large.
    """
    rate = model.features["sample_rate"]
    end = start + len(samples)
    loudest = np.abs(samples).max()
    if not loudest <= LOUDEST:  # also refuses NaN
        raise InputError(
            f"The sound from {start / rate:.2f} to {end / rate:.2f} s holds samples up to {loudest:,.6g}, expected "
            "-1 to 1; rescale it"
        )
    waveform = repeat_to(samples, model.features["n_samples"]).astype(np.float32)
    (probabilities,), fc1, after = model.hear(waveform[None], voice)
    near = nearest(fc1)[0] if nearest else []
    silent = bool(loudest <= QUIETEST)
    answer = make_answer(start / rate, end / rate, model.emotions, probabilities, model.threshold, near, silent)
    return answer, after


def window_samples(model: Model, window: float | None, hop: float | None) -> tuple[int, int]:
    """Window and hop in samples.

    Raises:
        InputError: a window longer than the input of the model, or a hop longer than a window; or not a positive
            number.
    """
    rate, most = model.features["sample_rate"], model.features["n_samples"]
    length = most if window is None else _rounded(window, rate)
    if not 0 < length <= most:
        raise InputError(
            f"Bad window {shown(window)}, expected more than 0 and at most {most / rate:g} seconds, the input "
            "length of the model"
        )
    step = length if hop is None else _rounded(hop, rate)
    if not 0 < step <= length:
        raise InputError(
            f"Bad hop {shown(hop)}, expected more than 0 and at most the window, {length / rate:g} seconds"
        )
    return length, step


def _rounded(seconds: float, rate: int) -> int:
    """The nearest number of samples; 0 if the seconds are no number, or far too large."""
    return round(seconds * rate) if -1e9 < seconds < 1e9 else 0


def cut(blocks: Iterable[np.ndarray], window: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Windows of a stream: the start and the samples of each.

    Every sample is in a window. The last window ends with the stream. Only a stream that is shorter than a window
    gives a shorter window.

    Args:
        blocks: arrays of samples, of any lengths.
        window: samples of a window.
        hop: samples from the start of one window to the next, at most `window`.

    Examples:
        >>> [(start, samples.tolist()) for start, samples in cut([np.arange(3), np.arange(3, 8)], 4, 3)]
        [(0, [0, 1, 2, 3]), (3, [3, 4, 5, 6]), (4, [4, 5, 6, 7])]
    """
    kept, first = np.empty(0, np.float32), 0  # the samples from number `first` on
    start = done = 0  # where the next window starts, where the last one ended
    for block in blocks:
        kept = np.concatenate([kept, block]) if len(kept) else block
        while start + window <= first + len(kept):
            yield start, kept[start - first :][:window]
            done, start = start + window, start + hop
        dropped = max(0, min(start - first, len(kept) - window))  # the last window may need samples before `start`
        kept, first = kept[dropped:], first + dropped
    if first + len(kept) > done:
        last = kept[-window:]
        yield first + len(kept) - len(last), last
