"""Waveform -> log-mel spectrogram, the input of the students; in the paper 373 frames of 64 mel bins."""

import torch
from torch import Tensor, nn

from ser_graph.audio.settings import LogMelSettings
from ser_graph.audio.torchaudio_import import torchaudio


class LogMel(nn.Module):
    """Log-mel spectrogram as a layer. Training and exported files use the same layer.

    Shapes:
        [..., n_samples] float waveform -> [..., n_frames, n_mels] float32.

    Attributes:
        window: [n_fft] float32, periodic Hann.
        mel: [n_fft // 2 + 1, n_mels] float32, the weight of each frequency in each bin.

    Examples:
        >>> LogMel()(torch.zeros(2, 95_744)).shape
        torch.Size([2, 373, 64])
    """

    window: Tensor
    mel: Tensor

    def __init__(self, settings: LogMelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or LogMelSettings()
        f_max = settings.sample_rate // 2 if settings.f_max is None else settings.f_max
        mel = torchaudio.functional.melscale_fbanks(
            settings.n_fft // 2 + 1,
            settings.f_min,
            float(f_max),
            settings.n_mels,
            settings.sample_rate,
            mel_scale=settings.mel_scale,
        )
        self.register_buffer("window", torch.hann_window(settings.n_fft))
        self.register_buffer("mel", mel)

    def forward(self, waveform: Tensor) -> Tensor:
        """Spectrogram of a waveform."""
        return torch.log(self.power(waveform) @ self.mel + self.settings.floor)

    def power(self, waveform: Tensor) -> Tensor:
        """[..., n_frames, n_fft // 2 + 1] squared magnitudes of the windows' Fourier transforms."""
        n_fft, hop = self.settings.n_fft, self.settings.hop_length
        one_by_one = waveform.reshape(-1, waveform.shape[-1])
        waves = torch.stft(one_by_one, n_fft, hop, window=self.window, center=False, return_complex=True)
        power = waves.abs().square().transpose(-1, -2)
        return power.reshape(*waveform.shape[:-1], *power.shape[-2:])
