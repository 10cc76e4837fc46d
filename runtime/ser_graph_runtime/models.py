"""`Model`: the interface that every model has which hears waveforms."""

from typing import Any, Protocol

import numpy as np

from ser_graph_runtime.errors import InputError

Heard = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # probabilities, `fc1`, the voice after the clip


class Model(Protocol):
    """A model that hears waveforms. F, the size of `fc1`, is 256 at width 1.

    Attributes:
        emotions: the classes in code order.
        features: settings of its log-mels, e.g. `n_samples` and `sample_rate` of a waveform.
        threshold: the confidence from which an answer is sure.
    """

    emotions: list[str]
    features: dict[str, Any]
    threshold: float

    def hear(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> Heard:
        """Probabilities and embeddings of clips, with the updated statistics of each voice, for its next clip.

        Args:
            waveforms: [B, n_samples] float32.
            voice: [B, 3, n_mels] statistics of each voice: number, mean and variance of the frames of its earlier
                clips. None or zeros mean an unknown voice. A model that does not normalise by speaker ignores them.

        Returns:
            [B, K] probabilities, [B, F] `fc1`, and [B, 3, n_mels] float32 statistics of each voice after its clip;
            None if the model does not normalise by speaker.
        """


def checked_voice(voice: np.ndarray | None, n_clips: int, n_mels: int) -> np.ndarray:
    """[B, 3, n_mels] float32 statistics of the voices of B clips; zeros (unknown voices) for None.

    Raises:
        InputError: another shape.
    """
    shape = (n_clips, 3, n_mels)
    if voice is None:
        return np.zeros(shape, np.float32)
    if np.shape(voice) != shape:
        raise InputError(
            f"Bad voice of shape {np.shape(voice)}, expected {shape}: number, mean and variance of the frames of "
            "earlier clips, for each clip"
        )
    return np.ascontiguousarray(voice, np.float32)
