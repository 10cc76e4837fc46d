"""`Recogniser`: a model file -> answers for arrays, streams and sound files."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ser_graph_runtime.answers import Answer, mean_answer
from ser_graph_runtime.nearest import load_nearest
from ser_graph_runtime.onnx_model import OnnxModel
from ser_graph_runtime.ready import DEFAULT, find_model
from ser_graph_runtime.recordings import files_by_name, recording_blocks
from ser_graph_runtime.sound import SoundError
from ser_graph_runtime.streaming import cut, listen, predict_windows, window_samples


class Recogniser:
    """Recognises emotions in speech with an exported model.

    A window is the sound that the model hears at once. A shorter sound is repeated to this length, as in training.
    Every recording and every stream starts as an unknown voice.

    Args:
        model: the ONNX file of `ser-graph export`, or the name of a model of the package (see `ready_models`), by
            default ``"ready:good"``.
        nearest: the file that `ser-graph export --graph` writes beside the model. Each answer then names the
            labelled clips that are most similar for the model.
        n_nearest: number of these clips.
        threads: CPU threads to use.

    Attributes:
        model: the `OnnxModel`: its `emotions`, `features`, `threshold`, `title`, `licence` and more.
        emotions: the emotions, in the order of `Answer.probabilities`.
        seconds: the length of a window.

    Raises:
        InputError: a file that is missing, damaged, or of another model.

    Examples:
        >>> import numpy as np
        >>> recogniser = Recogniser()
        >>> samples = np.random.default_rng(0).normal(0, 0.1, 44_100)  # 1 s of noise
        >>> answer = recogniser(samples, 44_100)
        >>> answer.emotion in recogniser.emotions, 0 < answer.confidence <= 1
        (True, True)
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        *,
        nearest: str | Path | None = None,
        n_nearest: int = 3,
        threads: int = 1,
    ) -> None:
        self.model = OnnxModel(find_model(model), threads)
        self.emotions = self.model.emotions
        self.seconds = self.model.features["n_samples"] / self.model.features["sample_rate"]
        self._nearest = None if nearest is None else load_nearest(nearest, self.model.path, k=n_nearest)

    def __call__(self, samples: Any, rate: int) -> Answer:
        """One answer for a whole sound; the mean over its windows if it is longer than a window.

        Args:
            samples: an array or a tensor of shape [n], [n, channels] or [channels, n]; floats in -1 to 1, or
                integers; see `as_mono`.
            rate: sampling rate in Hz, from 1,000 to 1,000,000.

        Raises:
            InputError: an array that is no sound.
        """
        return mean_answer(list(self.stream([samples], rate)), self.model.threshold)

    def stream(
        self,
        source: "Iterable[Any] | BinaryIO | str | tuple[Any, int]",
        rate: int | None = None,
        *,
        window: float | None = None,
        hop: float | None = None,
    ) -> Iterator[Answer]:
        """One answer for each window, as soon as the window is complete.

        Args:
            source: an iterator of arrays; an array with its rate, ``(samples, rate)``; a binary file of raw PCM (16
                bit, little-endian, mono) or WAV; or ``"microphone"``.
            rate: sampling rate in Hz of arrays or of raw PCM.
            window: length of a window in seconds; by default and at most `seconds`.
            hop: seconds from the start of one window to the next; by default the length of a window. The last
                window ends with the stream.

        Raises:
            InputError: a stream of unknown rate, without sound or with compressed sound; a bad window or hop.
        """
        return listen(self.model, source, rate=rate, window=window, hop=hop, nearest=self._nearest)

    def file(self, path: str | Path, *, window: float | None = None, hop: float | None = None) -> Iterator[Answer]:
        """One answer for each window of a sound file; needs the extra `files`. Arguments as in `stream`.

        Warns:
            UserWarning: the file has a lower rate than the model.

        Raises:
            SoundError: the file cannot be used.
        """
        length, step = window_samples(self.model, window, hop)
        blocks = recording_blocks(Path(path).expanduser(), self.model.features["sample_rate"])
        for answer, _ in predict_windows(self.model, cut(blocks, length, step), self._nearest):
            yield answer

    def files(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        window: float | None = None,
        hop: float | None = None,
    ) -> Iterator[tuple[str, Answer]]:
        """The name of the file and the answer for each window of many sound files; see `file`.

        Args:
            source: a folder with sound files, a sound file, or a list of these.
            window: length of a window in seconds.
            hop: seconds from the start of one window to the next.

        Warns:
            UserWarning: a file cannot be used; the other files go on.

        Raises:
            InputError: nothing to recognise.
        """
        for name, path in files_by_name(source).items():
            try:
                for answer in self.file(path, window=window, hop=hop):
                    yield name, answer
            except SoundError as error:
                warnings.warn(str(error), stacklevel=2)
