"""Samples of any common type (integers or floats, NumPy or torch, one channel or several) -> mono float32.

This module alone says which arrays and rates are sound. Files, streams and arrays all use it.
"""

import math
import numbers
from typing import Any

import numpy as np

from ser_graph_runtime.errors import InputError, shown

MOST_CHANNELS = 8
FEWEST, MOST = 1_000, 1_000_000  # samples a second that sound can have
LOUDEST = 100.0  # full scale is 1; louder samples (by 40 dB) are integers that were stored as floats
QUIETEST = 1e-4  # 80 dB below full scale; sound without a louder sample is silence, as of a muted microphone
FAINTEST = 1e-3  # -60 dB; the quietest clip of RAVDESS, a whispered "calm", peaks at 4.5e-3
NO_SOUND = f"no sample is above {20 * math.log10(FAINTEST):.0f} dB of full scale"
_OFFSETS = {"uint8": 128, "int8": 0, "int16": 0, "int32": 0}  # the value of silence; WAV stores 8 bits unsigned


def as_mono(samples: Any) -> np.ndarray:
    """Samples as one channel: the mean of all channels.

    Args:
        samples: an array or a tensor of shape [n], [n, channels] or [channels, n]; the longer side is time. Floats
            do not change: full scale is 1. int8, uint8 (128 is silence), int16 and int32 are scaled to this range.

    Returns:
        float32 of shape [n].

    Raises:
        InputError: another type, or a shape that does not show which side is time.

    Examples:
        >>> as_mono(np.array([[16384, 0], [-32768, 0], [0, 0]], np.int16))
        array([ 0.25, -0.5 ,  0.  ], dtype=float32)
    """
    return mono_of(*_checked(samples))


def _checked(samples: Any) -> tuple[np.ndarray, int | None]:
    """Samples of a known type, and the axis of their channels; see `as_mono`."""
    try:
        values = np.asarray(samples.detach().cpu() if hasattr(samples, "detach") else samples)
    except (TypeError, ValueError):  # a type unknown to numpy, or lists of different lengths
        kind = getattr(samples, "dtype", "unequal lengths")
        raise InputError(f"Bad samples of {kind}, expected an array of floats in -1 to 1, or of int16") from None
    kind = values.dtype.newbyteorder("=").name
    if kind not in _OFFSETS and kind not in ("float16", "float32", "float64"):
        raise InputError(
            f"Bad samples of type {kind}, expected floats in -1 to 1, or int16, int32, int8 or uint8, which are "
            "scaled; convert them"
        )
    return values, _channel_axis(values)


class Mixer:
    """Averages the channels of sound, block by block, and notices a result without sound.

    Attributes:
        channels: number of channels of the last block.

    Examples:
        >>> mixer, wave = Mixer(), np.sin(np.arange(100, dtype=np.float32))
        >>> mixer(np.stack([wave, -wave], axis=1), axis=1).max()
        np.float32(0.0)
        >>> mixer.cancellation
        'its 2 channels cancel each other: averaged, no sample is above -60 dB of full scale; use one channel'
    """

    def __init__(self) -> None:
        self.channels = 1
        self._lowest, self._highest = np.inf, -np.inf  # of the mean; a constant offset is not sound
        self._range = 0.0  # the largest of a channel in a block

    def array(self, samples: Any) -> np.ndarray:
        """As `as_mono`."""
        return self(*_checked(samples))

    def __call__(self, values: np.ndarray, axis: int | None) -> np.ndarray:
        """As `mono_of`."""
        mono = mono_of(values, axis)
        if len(mono):
            self._lowest, self._highest = min(self._lowest, mono.min()), max(self._highest, mono.max())
        if len(mono) and axis is not None:
            self.channels = values.shape[axis]
            highest, lowest = (of(values, axis=1 - axis).astype(np.float64) for of in (np.max, np.min))
            self._range = max(self._range, (highest - lowest).max() / _full_scale(values))
        return mono

    @property
    def is_faint(self) -> bool:
        """Whether no sample of the mean is above -60 dB of full scale."""
        return bool(self._highest - self._lowest < 2 * FAINTEST)

    @property
    def cancellation(self) -> str:
        """What is wrong if the channels hold sound and their mean does not; otherwise empty."""
        if not self.is_faint or self._range < 2 * FAINTEST or self.channels == 1:
            return ""
        return f"its {self.channels} channels cancel each other: averaged, {NO_SOUND}; use one channel"


def _full_scale(values: np.ndarray) -> int:
    return 2 ** (8 * values.dtype.itemsize - 1) if values.dtype.kind in "iu" else 1


def mono_of(values: np.ndarray, channels: int | None) -> np.ndarray:
    """float32 mean over the axis of channels, None without one; integers of a known type are scaled to -1..1.

    The mean is in float32, as for sound files, if float32 holds the values exactly.
    """
    kind, full = values.dtype.newbyteorder("=").name, _full_scale(values)
    if channels is not None:
        wide = kind in ("int32", "float64")
        values = values.mean(axis=channels, dtype=np.float64 if wide else np.float32)
    if kind in _OFFSETS:
        values = (values.astype(np.float64) - _OFFSETS[kind]) / full
    return values.astype(np.float32)


def check_rate(rate: Any) -> int:
    """A sampling rate in Hz as a plain number.

    Raises:
        InputError: not a whole number, or out of range.
    """
    if not isinstance(rate, numbers.Real) or not FEWEST <= rate <= MOST or rate % 1:  # type: ignore[operator]
        given = shown(rate) if isinstance(rate, str | numbers.Number) else f"of type {type(rate).__name__}"
        raise InputError(f"Bad rate {given}, expected a whole number from {FEWEST:,} to {MOST:,} samples a second")
    return int(rate)  # type: ignore[call-overload]


def repeat_to(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut a waveform at its end, or repeat it from its start, to exactly `n_samples`.

    Examples:
        >>> repeat_to(np.array([1, 2, 3]), 5)
        array([1, 2, 3, 1, 2])
    """
    return np.resize(waveform, n_samples)


def _channel_axis(values: np.ndarray) -> int | None:
    if values.ndim == 1:
        return None
    channels = min(values.shape, default=0)
    if values.ndim != 2 or channels == max(values.shape) or not 1 <= channels <= MOST_CHANNELS:
        raise InputError(
            f"Bad samples of shape {values.shape}, expected [n], [n, channels] or [channels, n], with fewer "
            f"channels than samples and at most {MOST_CHANNELS}"
        )
    return int(np.argmin(values.shape))
