"""Sound files as arrays, without torch: what training and the device read alike."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ser_graph.errors import InputError

POINTER_START = b"version https://git-lfs"  # the text that git-lfs leaves in place of a file


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Decode a whole file (anything libsndfile reads: wav, flac, ogg, mp3).

    Args:
        path: the file.

    Returns:
        float32 samples of shape [n_samples, n_channels] in -1..1, and the sampling rate in Hz.

    Raises:
        InputError: the file is missing, a git-lfs pointer, not audio, empty, or holds NaN.
    """
    path = Path(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: a .raw file tells no rate
        raise InputError(_why_unreadable(path, error)) from None
    if not len(samples):
        raise InputError(f"{path} holds no samples")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or infinite samples")
    return samples, rate


def _why_unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"No file {path}"
    if path.is_dir():
        return f"{path} is a folder, expected an audio file"
    with path.open("rb") as file:
        start = file.read(len(POINTER_START))
    if not start:
        return f"{path} is empty (0 bytes)"
    if start == POINTER_START:
        return f"{path} is a git-lfs pointer, not audio; fetch the real file with 'git lfs pull'"
    return f"{path} cannot be decoded as audio ({str(error).rpartition(':')[2].strip().rstrip('.')})"


def read_mono(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read a file as mono (channels averaged) at `sample_rate`, without torch: float32 of shape [n_samples].

    Another rate is resampled by a polyphase filter; `load_waveform` does it by windowed sinc, which differs a
    little close to half of the lower rate.
    """
    samples, rate = read_audio(path)
    mono = samples.mean(axis=1)
    if rate == sample_rate:
        return mono
    from scipy.signal import resample_poly  # slower to import than all the rest

    common = math.gcd(rate, sample_rate)
    return resample_poly(mono, sample_rate // common, rate // common).astype(np.float32)


def repeat_to(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut a waveform at its end, or say it again from its start, to exactly `n_samples`.

    Examples:
        >>> repeat_to(np.array([1, 2, 3]), 5)
        array([1, 2, 3, 1, 2])
    """
    return np.resize(waveform, n_samples)


def check_same_features(graph: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse a graph whose spectrograms are of other settings than a student's.

    Args:
        graph: the graph's settings, ``meta["features"]``.
        own: the student's.

    Raises:
        InputError: names the first setting that differs.
    """
    for key, value in own.items():
        if graph.get(key) != value:
            raise InputError(
                f"The graph's spectrograms have {key}={graph.get(key)!r}, the student expects {value!r}; predict "
                "from the clip table or sound files instead, or give the graph that it was trained on"
            )
