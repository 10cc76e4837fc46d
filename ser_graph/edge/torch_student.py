"""A student in torch, asked in the same words as an exported one."""

from typing import Any

import numpy as np
import torch

from ser_graph.audio.log_mel import LogMel
from ser_graph.downstream import Student
from ser_graph.errors import InputError


class TorchStudent:
    """A student that takes and returns arrays; the attributes are those of `OnnxStudent`.

    Args:
        student: the model; put into evaluation mode.

    Raises:
        InputError: it needs the teacher.
    """

    def __init__(self, student: Student) -> None:
        if student.needs_teacher:
            raise InputError(
                f"This student needs the teacher at inference (transfer={student.transfer!r}): it predicts clips "
                "of a graph, which holds the teacher's embeddings, but no recordings"
            )
        self.student = student.eval()
        self.emotions = student.emotions
        self.features: dict[str, Any] = student.features.to_dict()
        self.info = student.info
        self.precision = "float32"
        self.n_params = student.n_params
        self._log_mel = LogMel(student.features)

    @property
    def macs(self) -> int:
        """Multiplications of its convolutions and dense layers for a clip."""
        return self.student.macs

    @torch.inference_mode()
    def __call__(self, waveforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`."""
        return self.of_spectrograms(self._log_mel(torch.from_numpy(waveforms)).numpy())

    @torch.inference_mode()
    def of_spectrograms(self, spectrograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> [B, K] probabilities and [B, F] `fc1`."""
        x = torch.from_numpy(spectrograms).to(self.student.standardise.mean.device)
        output = self.student(x)
        return output.logits.softmax(1).cpu().numpy(), output.fc1.cpu().numpy()
