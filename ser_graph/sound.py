"""Sound files as arrays, without torch: what training and the device read alike."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from ser_graph.errors import InputError

_FEWEST, _MOST = 1_000, 1_000_000  # samples a second that a sound file can have
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
    with _opened(path) as file:
        samples = file.read(dtype="float32", always_2d=True)
        _check_finite(samples, path)
        return samples, file.samplerate


def mono_blocks(path: str | Path, sample_rate: int, seconds: float = 60.0) -> Iterator[np.ndarray]:
    """Read a file piece by piece as mono (channels averaged) at `sample_rate`, without torch.

    Another rate is resampled by a polyphase filter; `load_waveform` does it by windowed sinc, which differs a
    little close to half of the lower rate. Where the pieces meet makes no difference.

    Args:
        path: the file, of any length: a piece at a time is in memory.
        sample_rate: in Hz.
        seconds: about the length of a piece.

    Returns:
        float32 arrays of shape [n].

    Raises:
        InputError: as `read_audio`.
    """
    with _opened(path) as file:
        blocks = file.blocks(round(seconds * file.samplerate), dtype="float32", always_2d=True)
        checked = (_check_finite(block, path).mean(axis=1) for block in blocks)
        yield from checked if file.samplerate == sample_rate else _resampled(checked, file.samplerate, sample_rate)


def read_mono(path: str | Path, sample_rate: int) -> np.ndarray:
    """A whole file as mono at `sample_rate`, see `mono_blocks`: float32 of shape [n_samples]."""
    return np.concatenate(list(mono_blocks(path, sample_rate)))


def _resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks at another rate: each is resampled with what surrounds it, of which the result is cut off."""
    from scipy.signal import resample_poly  # slower to import than all the rest

    common = math.gcd(rate, sample_rate)
    up, down = sample_rate // common, rate // common
    # The filter of resample_poly reaches 10 * max(up, down) samples at the rate in between to either side. Cuts are
    # at multiples of `down`, where samples of both rates coincide.
    margin = math.ceil(10 * max(up, down) / (up * down) + 1) * down
    held, before = np.empty(0, np.float32), 0  # samples not yet done, after `before` that are done
    for block in blocks:
        held = np.concatenate([held, block])
        done = (len(held) - margin) // down * down
        if done > before:
            yield resample_poly(held, up, down)[before // down * up : done // down * up].astype(np.float32)
            kept = max(0, done - margin)
            held, before = held[kept:], done - kept
    yield resample_poly(held, up, down)[before // down * up :].astype(np.float32)


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """A sound file with samples of a likely rate; whatever is wrong with it is one `InputError`."""
    path = Path(path)
    try:
        with soundfile.SoundFile(path) as file:
            if not _FEWEST <= file.samplerate <= _MOST:
                raise InputError(
                    f"{path} says that it has {file.samplerate:,} samples a second, expected {_FEWEST:,} to "
                    f"{_MOST:,}; its header is damaged"
                )
            if not file.frames:
                raise InputError(f"{path} holds no samples")
            yield file
    except UnicodeError:
        raise InputError(f"The name of {path} is not UTF-8; rename it") from None
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: a .raw file tells no rate
        raise InputError(_why_unreadable(path, error)) from None


def _check_finite(samples: np.ndarray, path: str | Path) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds NaN or infinite samples")
    return samples


def _why_unreadable(path: Path, error: Exception) -> str:
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is not there; fetch it (git-annex: 'git annex get')"
    if not path.exists():
        return f"No file {path}"
    if path.is_dir():
        return f"{path} is a folder, expected an audio file"
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER_START))
    except OSError as refused:
        return f"{path} cannot be opened ({refused.strerror})"
    if not start:
        return f"{path} is empty (0 bytes)"
    if start == POINTER_START:
        return f"{path} is a git-lfs pointer, not audio; fetch the real file with 'git lfs pull'"
    return f"{path} cannot be decoded as audio ({str(error).rpartition(':')[2].strip().rstrip('.')})"


def repeat_to(waveform: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut a waveform at its end, or say it again from its start, to exactly `n_samples`.

    Examples:
        >>> repeat_to(np.array([1, 2, 3]), 5)
        array([1, 2, 3, 1, 2])
    """
    return np.resize(waveform, n_samples)
