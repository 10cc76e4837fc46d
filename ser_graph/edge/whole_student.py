"""A student from waveform to probabilities without an FFT, for programs of phones: ExecuTorch and LiteRT."""

import torch
from torch import Tensor, nn

from ser_graph.audio.log_mel import LogMel
from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import Student
from ser_graph.edge.exporting import calibrated
from ser_graph.errors import InputError


class MatrixLogMel(LogMel):
    """`LogMel` without an FFT, which ExecuTorch's and LiteRT's kernels lack.

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
    """Waveform -> probabilities and `fc1`, for one clip at a time.

    Raises:
        InputError: a student that normalises by speaker.
    """

    def __init__(self, student: Student, temperature: float = 1.0) -> None:
        super().__init__()
        if student.standardise.normalise == "speaker":
            raise InputError(
                "Files for ExecuTorch and LiteRT are for students that predict every clip alone. This student "
                "normalises by speaker: export it with format='onnx', or train one with normalise='utterance'"
            )
        self.student, self.temperature = student.eval(), temperature
        self.log_mel = MatrixLogMel(student.features)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """[1, n_samples] float32 -> [1, K] and [1, F]."""
        output = self.student(self.log_mel(waveform))
        return calibrated(output.logits, self.temperature), output.fc1
