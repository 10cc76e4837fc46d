"""Find NaN and infinity in spectrograms, also in those that stay on disk; without torch."""

import mmap

import numpy as np

from ser_graph.common.progress import progress_bar
from ser_graph.errors import InputError

_BLOCK = 256  # rows checked at a time


def is_finite(values: np.ndarray) -> bool:
    """Whether no number is NaN or infinite. For float16, this is forty times as fast as `np.isfinite`.

    Args:
        values: float16, float32 or float64 of any shape.

    Examples:
        >>> [is_finite(np.array([65504, last], np.float16)) for last in (-1, np.nan, -np.inf)]
        [True, False, False]
    """
    if not values.size:
        return True
    kind = np.dtype(f"u{values.itemsize}")
    infinity = np.array(np.inf, values.dtype).view(kind)
    # Without their signs, the bits of NaN and infinity are the largest.
    return bool((values.view(kind) & kind.type(np.iinfo(kind).max // 2)).max() < infinity)


def check_finite(x: np.ndarray, *, progress: bool = True) -> None:
    """Refuse spectrograms with NaN or infinity; an array on disk is read block by block.

    Args:
        x: [N, n_frames, n_mels] float16 or float32, possibly mapped from a file.
        progress: show a progress bar.

    Raises:
        InputError: a number is not finite.
    """
    starts = range(0, len(x), _BLOCK)
    for start in progress_bar(starts, "checking spectrograms", unit="block", disable=not progress, delay=2):
        block = np.asarray(x[start : start + _BLOCK])
        if not is_finite(block):
            raise not_finite(start + int(np.argwhere(~np.isfinite(block))[0, 0]))
        if isinstance(x, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
            x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # else a corpus seems to be in memory


def not_finite(row: int) -> InputError:
    """The error for the spectrogram of clip number `row`."""
    return InputError(f"The spectrogram of clip {row} holds NaN or infinity; compute it again")
