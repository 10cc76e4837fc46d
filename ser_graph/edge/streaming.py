"""Predict live speech from a pipe or a microphone, window by window, without torch and pandas."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ser_graph.audio.sound import LOUDEST, repeat_to
from ser_graph.edge.loading import load_model
from ser_graph.edge.models import Model
from ser_graph.edge.streams import mono_stream
from ser_graph.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from ser_graph.downstream import Student
    from ser_graph.edge.nearest import Nearest


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction of a model for one window.

    Attributes:
        start: in seconds.
        end: in seconds.
        predicted: the most probable emotion.
        probabilities: of each emotion; they sum to 1.
        nearest: file, emotion and similarity of the nearest labelled clips, if a graph was given.
    """

    start: float
    end: float
    predicted: str
    probabilities: dict[str, float]
    nearest: list[tuple[str, str, float]]


def listen(
    model: "str | Path | Student | Model",
    source: "BinaryIO | str | tuple[Any, int] | Iterable[Any]",
    *,
    rate: int | None = None,
    window: float | None = None,
    hop: float | None = None,
    nearest: "Nearest | None" = None,
) -> Iterator[WindowPrediction]:
    """Predict the emotions of a stream, window by window, as soon as each window is complete.

    A student with ``normalise="speaker"`` treats the stream as one speaker and updates the statistics of the voice
    with each window; see `predict_windows`.

    Args:
        model: a student, its folder, or an exported ``.onnx`` file.
        source: a binary file of raw PCM (16 bit, little-endian, mono) or WAV, ``"microphone"``, an array with its
            rate, ``(samples, rate)``, or an iterator of arrays; see `as_mono` for their shapes. Other rates than
            the model's are resampled.
        rate: sampling rate in Hz of raw PCM, or of an iterator of arrays.
        window: length of a window in seconds. The maximum and the default are the input length of the model. A
            shorter window is repeated to that length, like short clips in training.
        hop: seconds from the start of one window to the next, at most and by default a window. The last window ends
            with the stream.
        nearest: the clips of a graph: each prediction then names the clips that are most similar for the model.

    Yields:
        A `WindowPrediction` for each window: its `start` and `end` in seconds, `predicted`, `probabilities`,
        `nearest`.

    Raises:
        InputError: a stream of unknown rate, without sound or with compressed sound, or a window that is too long.

    Examples:
        >>> with open("talk.wav", "rb") as file:  # doctest: +SKIP
        ...     for prediction in listen("student.onnx", file, hop=1.0):
        ...         print(prediction.start, prediction.predicted)
    """
    model = load_model(model)
    length, step = window_samples(model, window, hop)
    blocks = mono_stream(source, rate, model.features["sample_rate"])
    n = 0
    for prediction, _ in predict_windows(model, cut(blocks, length, step), nearest):
        n += 1
        yield prediction
    if not n:
        raise InputError("The stream ended without a sample; is the program that feeds it running?")


def predict_windows(
    model: Model,
    windows: Iterable[tuple[int, np.ndarray]],
    nearest: "Nearest | None" = None,
    voice: np.ndarray | None = None,
) -> Iterator[tuple[WindowPrediction, np.ndarray | None]]:
    """Predict the windows of one voice, in their order.

    The prediction of a window uses the statistics of the voice from before the window. If windows overlap, a window
    updates the statistics only if it starts at or after the end of the last window that updated them: no sample
    counts twice.

    Args:
        model: the model.
        windows: the start and the samples of each window, see `cut`.
        nearest: the clips of a graph, to name the most similar ones.
        voice: [1, 3, n_mels] statistics of the voice before the first window, see `Model.hear`.

    Yields:
        The prediction of the window, and the statistics of the voice by then: None if the model does not normalise
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
    nearest: "Nearest | None" = None,
    voice: np.ndarray | None = None,
) -> tuple[WindowPrediction, np.ndarray | None]:
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
    prediction = WindowPrediction(
        start=start / rate,
        end=end / rate,
        predicted=model.emotions[int(probabilities.argmax())],
        probabilities=dict(zip(model.emotions, probabilities.astype(float).tolist(), strict=True)),
        nearest=nearest(fc1)[0] if nearest else [],
    )
    return prediction, after


def format_window(window: WindowPrediction) -> str:
    """A window as one line, the most probable emotion first.

    Examples:
        >>> probabilities, nearest = {"anger": 0.2, "fear": 0.8}, [("a.wav", "fear", 0.97)]
        >>> format_window(WindowPrediction(0.0, 5.984, "fear", probabilities, nearest))
        '0.00-5.98 s  fear 0.80  anger 0.20  | a.wav (fear 0.97)'
    """
    order = sorted(window.probabilities.items(), key=lambda item: -item[1])
    emotions = "  ".join(f"{emotion} {probability:.2f}" for emotion, probability in order)
    why = ", ".join(f"{file} ({emotion} {similarity:.2f})" for file, emotion, similarity in window.nearest)
    return f"{window.start:.2f}-{window.end:.2f} s  {emotions}{f'  | {why}' if why else ''}"


def window_samples(model: Model, window: float | None, hop: float | None) -> tuple[int, int]:
    """Window and hop in samples.

    Raises:
        InputError: a window longer than the input of the model, or a hop longer than a window; or not a positive
            number.
    """
    rate, most = model.features["sample_rate"], model.features["n_samples"]
    length = most if window is None else _rounded(window * rate)
    if not 0 < length <= most:
        raise InputError(
            f"Bad window {window!r}, expected more than 0 and at most {most / rate:g} seconds, the input length "
            "of the model"
        )
    step = length if hop is None else _rounded(hop * rate)
    if not 0 < step <= length:
        raise InputError(f"Bad hop {hop!r}, expected more than 0 and at most the window, {length / rate:g} seconds")
    return length, step


def _rounded(number: float) -> int:
    return round(number) if math.isfinite(number) else 0


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
