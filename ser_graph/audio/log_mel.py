"""Waveform -> log-mel spectrogram, as the paper's students see it: 373 frames of 64 mel bins."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from ser_graph.audio.reading import SAMPLE_RATE
from ser_graph.audio.torchaudio_import import torchaudio
from ser_graph.errors import InputError, bad_value


@dataclass(frozen=True)
class LogMelSettings:
    """Everything that decides what a spectrogram looks like.

    The defaults are the paper's: clips repeated or cut to 95,744 samples (5.984 s, the longest DEMoS clip),
    windows of 512 samples every 256, 64 mel bins, no padding at the edges, natural logarithm.

    Attributes:
        n_samples: length of every clip in samples.
        sample_rate: in Hz.
        n_fft: window length in samples (periodic Hann).
        hop_length: samples from one window to the next.
        n_mels: number of mel bins.
        f_min: lower edge of the lowest bin in Hz.
        f_max: upper edge of the highest bin in Hz; None is half the sampling rate.
        mel_scale: ``"slaney"`` (linear below 1 kHz, as librosa) or ``"htk"``.
        floor: power added before the logarithm: silence becomes ``log(floor)``, about the noise of a
            quiet recording, instead of minus infinity.

    Examples:
        >>> LogMelSettings().n_frames
        373
    """

    n_samples: int = 95_744
    sample_rate: int = SAMPLE_RATE
    n_fft: int = 512
    hop_length: int = 256
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float | None = None
    mel_scale: str = "slaney"
    floor: float = 1e-6

    def __post_init__(self) -> None:
        if self.mel_scale not in ("slaney", "htk"):
            raise bad_value("mel_scale", self.mel_scale, ["slaney", "htk"])
        if self.n_samples < self.n_fft:
            raise InputError(f"n_samples={self.n_samples} is shorter than one window of n_fft={self.n_fft}")
        if min(self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.floor) <= 0:
            raise InputError("sample_rate, n_fft, hop_length, n_mels and floor must be greater than 0")
        f_max = self.sample_rate / 2 if self.f_max is None else self.f_max
        if not 0 <= self.f_min < f_max <= self.sample_rate / 2:
            raise InputError(
                f"Bad f_min={self.f_min} and f_max={self.f_max}, expected 0 <= f_min < f_max <= "
                f"{self.sample_rate / 2:g} (half the sample_rate)"
            )

    @property
    def n_frames(self) -> int:
        """Number of windows that fit into a clip."""
        return (self.n_samples - self.n_fft) // self.hop_length + 1

    def to_dict(self) -> dict[str, int | float | str | None]:
        """As plain values, for a stored model or graph: ``LogMelSettings(**values)`` gives it back."""
        return asdict(self)


class LogMel(nn.Module):
    """Log-mel spectrogram as a layer: the one that training computes is the one in the exported file.

    Shapes:
        [..., n_samples] float waveform -> [..., n_frames, n_mels] float32.

    Attributes:
        window: [n_fft] float32, periodic Hann.
        mel: [n_fft // 2 + 1, n_mels] float32, what each frequency adds to each bin.

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
