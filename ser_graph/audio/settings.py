"""`LogMelSettings`: all settings of the log-mel spectrograms; imports no torch."""

from typing import Literal

from pydantic import model_validator

from ser_graph.common.settings import Settings, setting
from ser_graph.errors import InputError
from ser_graph_runtime.arrays import FEWEST, MOST

SAMPLE_RATE = 16_000
"""In Hz: the rate of wav2vec 2.0 and of the paper's students."""

_MOST_VALUES = 2**26  # of the spectrum of one clip: 0.5 GB


class LogMelSettings(Settings):
    """All settings of the log-mel spectrograms.

    The defaults are the paper's: clips repeated or cut to 95,744 samples (5.984 s, the longest DEMoS clip),
    windows of 512 samples every 256, 64 mel bins, no padding at the edges, natural logarithm.

    Examples:
        >>> LogMelSettings().n_frames
        373
    """

    n_samples: int = setting(
        95_744, "condition", "samples per clip: longer clips are cut, shorter clips are repeated", ge=1, le=2**24
    )
    sample_rate: int = setting(SAMPLE_RATE, "condition", "sampling rate in Hz", ge=FEWEST, le=MOST)
    n_fft: int = setting(512, "condition", "samples per window (periodic Hann)", ge=1, le=2**16)
    hop_length: int = setting(
        256, "condition", "samples from the start of one window to the start of the next", ge=1, le=2**24
    )
    n_mels: int = setting(64, "condition", "number of mel bins", ge=1, le=1024)
    f_min: float = setting(0.0, "condition", "lower edge of the lowest bin in Hz", ge=0)
    f_max: float | None = setting(
        None, "condition", "upper edge of the highest bin in Hz; None means half the sample_rate", gt=0
    )
    mel_scale: Literal["slaney", "htk"] = setting(
        "slaney", "condition", "slaney is linear below 1 kHz, as in librosa; htk is logarithmic throughout"
    )
    floor: float = setting(
        1e-6,
        "condition",
        "power added before the logarithm; silence becomes log(floor), about the noise of a quiet recording",
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "LogMelSettings":
        if self.n_samples < self.n_fft:
            raise InputError(f"n_samples={self.n_samples} is shorter than one window of n_fft={self.n_fft}")
        values = self.n_frames * max(self.n_mels, self.n_fft // 2 + 1)
        if values > _MOST_VALUES:
            raise InputError(
                f"A clip of n_samples={self.n_samples} makes {self.n_frames:,} windows of {self.n_fft // 2 + 1:,} "
                f"frequencies and {self.n_mels:,} mel bins, expected at most {_MOST_VALUES:,} values; raise "
                "hop_length"
            )
        f_max = self.sample_rate / 2 if self.f_max is None else self.f_max
        if not self.f_min < f_max <= self.sample_rate / 2:
            raise InputError(
                f"Bad f_min={self.f_min} and f_max={self.f_max}, expected 0 <= f_min < f_max <= "
                f"{self.sample_rate / 2:g} (half the sample_rate)"
            )
        return self

    @property
    def n_frames(self) -> int:
        """Number of windows that fit into a clip."""
        return (self.n_samples - self.n_fft) // self.hop_length + 1
