"""Waveform -> log-mel spectrogram, as the paper's students see it: 373 frames of 64 mel bins."""

import torch
from torch import Tensor, nn

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.torchaudio_import import torchaudio


class LogMel(nn.Module):
    """Log-mel spectrogram as a layer, so that the device's graph can contain it.

    Shapes:
        [..., n_samples] float waveform -> [..., n_frames, n_mels] float32.

    Examples:
        >>> LogMel()(torch.zeros(2, 95_744)).shape
        torch.Size([2, 373, 64])
    """

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or LogMelSettings()
        self.mel = torchaudio.transforms.MelSpectrogram(
            settings.sample_rate,
            n_fft=settings.n_fft,
            hop_length=settings.hop_length,
            f_min=settings.f_min,
            f_max=settings.f_max,
            n_mels=settings.n_mels,
            mel_scale=settings.mel_scale,
            center=False,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform."""
        return torch.log(self.mel(waveform) + self.settings.floor).transpose(-1, -2)
