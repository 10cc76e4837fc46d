"""The protocol of a student on the device: `OnnxStudent` and `TorchStudent` follow it."""

from typing import Any, Protocol

import numpy as np

from ser_graph_runtime import models


class Model(models.Model, Protocol):
    """A model that also takes the spectrograms of a graph. F, the size of `fc1`, is 256 at width 1."""

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

    def of_spectrograms(
        self, spectrograms: np.ndarray, voice: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> as `__call__`."""
