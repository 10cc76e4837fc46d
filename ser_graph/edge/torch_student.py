"""A student in torch with the interface of an exported student."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.standardise import update_voice
from ser_graph.downstream import Student
from ser_graph.errors import InputError
from ser_graph_runtime.models import Heard, checked_voice


class TorchStudent:
    """A student that takes and returns arrays; the attributes are those of `OnnxStudent`.

    Raises:
        InputError: the student needs the teacher.
    """

    def __init__(self, student: Student) -> None:
        if student.needs_teacher:
            raise InputError(
                f"This student needs the teacher at inference (transfer={student.transfer!r}): it predicts clips "
                "of a graph, which holds the teacher's embeddings, but not recordings"
            )
        self.student = student.eval()
        self.emotions = student.emotions
        self.features: dict[str, Any] = student.features.model_dump()
        self.normalise = student.standardise.normalise
        self.info = student.info
        self.precision = "float32"
        self.threshold = 0.0  # an export may set another one
        self.n_params = student.n_params
        self._log_mel = LogMel(student.features)

    @property
    def macs(self) -> int:
        """Multiplications of its convolutions and dense layers for one clip."""
        return self.student.macs

    @property
    def normalises_by_speaker(self) -> bool:
        """Whether the model normalises by speaker, so that earlier clips of a voice change its results."""
        return self.normalise == "speaker"

    def __call__(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_samples] float32 -> [B, K] probabilities and [B, F] `fc1`; `voice` as in `hear`."""
        return self.hear(waveforms, voice)[:2]

    @torch.inference_mode()
    def hear(self, waveforms: np.ndarray, voice: np.ndarray | None = None) -> Heard:
        """As `__call__`, with the updated statistics of each voice, see `Model`."""
        return self._ask(self._log_mel(torch.from_numpy(waveforms)), voice)

    def of_spectrograms(
        self, spectrograms: np.ndarray, voice: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """[B, n_frames, n_mels] log-mels of any float type -> as `__call__`."""
        return self._ask(torch.from_numpy(spectrograms), voice)[:2]

    @torch.inference_mode()
    def _ask(self, x: Tensor, voice: np.ndarray | None) -> Heard:
        x = x.to(self.student.standardise.mean.device)
        before = after = None
        if self.normalises_by_speaker:
            x = x.float()
            before = torch.from_numpy(checked_voice(voice, len(x), x.shape[-1])).to(x.device)
            after = update_voice(x, before).cpu().numpy()
        output = self.student(x, voice=before)
        return output.logits.softmax(1).cpu().numpy(), output.fc1.cpu().numpy(), after
