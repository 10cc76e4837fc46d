"""Answers for live speech from a pipe or a microphone, by a student of any kind."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ser_graph.edge.loading import load_model
from ser_graph_runtime import streaming
from ser_graph_runtime.answers import Answer
from ser_graph_runtime.nearest import Nearest

if TYPE_CHECKING:
    from pathlib import Path

    from ser_graph.downstream import Student
    from ser_graph.edge.models import Model


def listen(
    model: "str | Path | Student | Model",
    source: "BinaryIO | str | tuple[Any, int] | Iterable[Any]",
    *,
    rate: int | None = None,
    window: float | None = None,
    hop: float | None = None,
    nearest: Nearest | None = None,
) -> Iterator[Answer]:
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
        nearest: labelled clips: each answer then names the clips that are most similar for the model.

    Yields:
        An `Answer` for each window: its `start` and `end` in seconds, `emotion`, `confidence`, `probabilities`,
        `sure`, `nearest`.

    Raises:
        InputError: a stream of unknown rate, without sound or with compressed sound, or a window that is too long.

    Examples:
        >>> with open("talk.wav", "rb") as file:  # doctest: +SKIP
        ...     for answer in listen("student.onnx", file, hop=1.0):
        ...         print(answer.start, answer.emotion)
    """
    return streaming.listen(load_model(model), source, rate=rate, window=window, hop=hop, nearest=nearest)
