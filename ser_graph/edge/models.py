"""The protocol of a model on the device: `OnnxStudent` and `TorchStudent` follow it."""

from typing import Any, Protocol

import numpy as np

from ser_graph.errors import InputError

Answer = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # probabilities, `fc1`, the voice after the clip


class Model(Protocol):
    """The interface of `OnnxStudent` and `TorchStudent`. F, the size of `fc1`, is 256 at width 1."""

    emotions: list[str]
    features: dict[str, Any]
    normalise: str
    info: dict[str, Any]
    precision: str
    n_params: int

    @property
    def macs(self) -> int:
        """Multiplications of its convolutions and dense layers for one clip."""

    @property
    def normalises_by_speaker(self) -> bool:
        """Whether the model normalises by speaker, so that earlier clips of a voice change its results."""

    def __call__(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`; `voice` as in `hear`."""

    def hear(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> Answer:
        """As `__call__`, with the updated statistics of each voice, for its next clip.

        Args:
            waveforms: [B, n_samples] float32.
            voice: [B, 3, n_mels] statistics of each voice: number, mean and variance of the frames of its earlier
                clips. None or zeros mean an unknown voice. A model that does not normalise by speaker ignores them.

        Returns:
            [B, K] probabilities, [B, F] `fc1`, and [B, 3, n_mels] float32 statistics of each voice after its clip;
            None if the model does not normalise by speaker.
        """

    def of_spectrograms(
        self, spectrograms: np.ndarray, voice: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> as `__call__`."""


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
