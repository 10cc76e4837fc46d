"""Samples of any common type (integers or floats, NumPy or torch, one channel or several) -> mono float32.

This module alone says which arrays and rates are sound. Files, streams and arrays all use it.
"""

import numbers
from typing import Any

import numpy as np

from ser_graph_runtime.errors import InputError

MOST_CHANNELS = 8
FEWEST, MOST = 1_000, 1_000_000  # samples a second that sound can have
LOUDEST = 100.0  # full scale is 1; louder samples (by 40 dB) are integers that were stored as floats
QUIETEST = 1e-4  # 80 dB below full scale; sound without a louder sample is silence, as of a muted microphone
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
    return mono_of(values, _channel_axis(values))


def mono_of(values: np.ndarray, channels: int | None) -> np.ndarray:
    """float32 mean over the axis of channels, None without one; integers of a known type are scaled to -1..1.

    The mean is in float32, as for sound files, if float32 holds the values exactly.
    """
    kind, full = values.dtype.newbyteorder("=").name, 2 ** (8 * values.dtype.itemsize - 1)
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
        shown = repr(rate) if isinstance(rate, str | numbers.Number) else f"of type {type(rate).__name__}"
        raise InputError(f"Bad rate {shown}, expected a whole number from {FEWEST:,} to {MOST:,} samples a second")
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
