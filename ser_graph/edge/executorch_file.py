"""A student as an ExecuTorch program (.pte) for apps on phones, which run it without Python: float32, XNNPACK."""

import json
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.settings import LogMelSettings
from ser_graph.common.extras import export_package
from ser_graph.downstream import Student
from ser_graph.edge.exporting import calibrated
from ser_graph.errors import InputError

EXTRA = "executorch"
METADATA_METHOD = "ser_graph"  # a method of the program that returns the metadata as JSON


class MatrixLogMel(LogMel):
    """`LogMel` without an FFT, which ExecuTorch's kernels lack.

    A matrix of cosines and sines gives the same spectrum; it adds 1 MB.
    """

    fourier: Tensor

    def __init__(self, settings: LogMelSettings) -> None:
        super().__init__(settings)
        samples, bins = torch.arange(settings.n_fft).double(), torch.arange(settings.n_fft // 2 + 1).double()
        angles = 2 * torch.pi / settings.n_fft * samples[:, None] * bins
        fourier = torch.cat([angles.cos(), angles.sin()], dim=1) * self.window.double()[:, None]
        self.register_buffer("fourier", fourier.float())

    def power(self, waveform: Tensor) -> Tensor:
        """As in `LogMel`."""
        windows = waveform.unfold(-1, self.settings.n_fft, self.settings.hop_length)
        real, imaginary = (windows @ self.fourier).chunk(2, dim=-1)
        return real.square() + imaginary.square()


class WholeStudent(nn.Module):
    """Waveform -> probabilities and `fc1`."""

    def __init__(self, student: Student, temperature: float = 1.0) -> None:
        super().__init__()
        self.student, self.temperature = student.eval(), temperature
        self.log_mel = MatrixLogMel(student.features)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[1, n_samples] float32 -> [1, K] and [1, F]."""
        output = self.student(self.log_mel(waveform))
        return calibrated(output.logits, self.temperature), output.fc1


def executorch_program(student: Student, temperature: float, metadata: dict[str, Any]) -> bytes:
    """The program of a student for one clip at a time.

    Args:
        student: the model; put into evaluation mode.
        temperature: the program divides its logits by this number.
        metadata: JSON values; the method `ser_graph` of the program returns them as text.

    Raises:
        InputError: a student that normalises by speaker, or the extra `executorch` is not installed.
    """
    if student.standardise.normalise == "speaker":
        raise InputError(
            "ExecuTorch programs are for students that predict every clip alone. This student normalises by "
            "speaker: export it with format='onnx', or train one with normalise='utterance'"
        )
    exir = export_package("executorch.exir", EXTRA)
    xnnpack = export_package("executorch.backends.xnnpack.partition.xnnpack_partitioner", EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from torch's code, about torch's code
        exported = torch.export.export(
            WholeStudent(student, temperature), (torch.zeros(1, student.features.n_samples),)
        )
        lowered = exir.to_edge_transform_and_lower(
            exported,
            partitioner=[xnnpack.XnnpackPartitioner()],
            constant_methods={METADATA_METHOD: json.dumps(metadata)},
        )
        return lowered.to_executorch().buffer
