"""Resampling with a windowed sinc, in numpy, block by block; the result is the same on every machine."""

import functools
import math
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

_ZEROS = 6  # zero crossings of the sinc on each side; both numbers equal torchaudio's, so the results do too
_ROLLOFF = 0.99  # the cutoff, as a share of half the lower rate
_AT_ONCE = 2**18  # numbers in memory of each kind: 1 MB in float32


def resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Resample sound block by block; the result does not depend on the lengths of the blocks.

    The filter is a sinc under a Hann window (Smith and Gossett, ICASSP 1984). Its weights are those of the exact
    ratio of the rates. Before and after the sound, the filter sees silence.

    Args:
        blocks: mono float32 arrays of shape [n], of any lengths.
        rate: sampling rate of the blocks in Hz.
        sample_rate: sampling rate of the result in Hz.

    Yields:
        float32 arrays of shape [m], ``ceil(samples * sample_rate / rate)`` samples in all.

    Examples:
        >>> sum(len(block) for block in resampled([np.zeros(441, np.float32)] * 100, 44_100, 16_000))
        16000
    """
    if rate == sample_rate:
        yield from blocks
        return
    sinc = _sinc(rate, sample_rate)
    before = sinc.reach - 1
    held, first = np.zeros(before, np.float32), -before  # input samples from number `first`
    done = 0  # samples yielded so far
    for block in chain(blocks, [np.zeros(sinc.reach, np.float32)]):
        held = np.concatenate([held, block])
        ready = sinc.outputs(first + len(held) - sinc.reach)
        step = max(1, _AT_ONCE // (2 * sinc.reach))
        for start in range(done, ready, step):
            yield sinc.filtered(held, first, start, min(start + step, ready))
        done = max(done, ready)
        unneeded = sinc.centre(done) - before - first
        held, first = held[unneeded:], first + unneeded


class _Sinc:
    """Weights of the input samples for each output sample. Output n is at ``n * down / up`` of the input.

    Attributes:
        up: number of outputs after which the weights repeat.
        down: number of input samples in the same time.
        reach: number of input samples with a weight on each side.
    """

    def __init__(self, rate: int, sample_rate: int) -> None:
        common = math.gcd(rate, sample_rate)
        self.up, self.down = sample_rate // common, rate // common
        self._cutoff = _ROLLOFF * min(1, self.up / self.down)  # as a share of half the input's rate
        self.reach = math.ceil(_ZEROS / self._cutoff)
        fits = self.up * 2 * self.reach <= _AT_ONCE
        self._table = self._weights(np.arange(self.up)) if fits else None

    def outputs(self, n_inputs: int) -> int:
        """The number of outputs before input number `n_inputs`."""
        return -(-n_inputs * self.up // self.down)

    def centre(self, output: int) -> int:
        """The input sample at or before an output."""
        return output * self.down // self.up

    def filtered(self, held: np.ndarray, first: int, start: int, end: int) -> np.ndarray:
        """Outputs `start` to `end`, from input samples that begin with number `first`."""
        centres, phases = np.divmod(np.arange(start, end, dtype=np.int64) * self.down, self.up)
        windows = np.lib.stride_tricks.sliding_window_view(held, 2 * self.reach)[centres - self.reach + 1 - first]
        weights = self._weights(phases) if self._table is None else self._table[phases]
        # Sums in float64 are the same to the last bit of float32 in any order: here, and in the page's JavaScript.
        return np.einsum("nk,nk->n", windows, weights, dtype=np.float64, casting="same_kind").astype(np.float32)

    def _weights(self, phases: np.ndarray) -> np.ndarray:
        """[n, 2 * reach] float32 for outputs at ``phases / up`` of a sample after an input sample."""
        away = np.arange(1 - self.reach, self.reach + 1) - phases[:, None] / self.up
        crossings = np.clip(away * self._cutoff, -_ZEROS, _ZEROS)
        hann = np.square(np.cos(crossings * (np.pi / 2 / _ZEROS)))
        return (self._cutoff * np.sinc(crossings) * hann).astype(np.float32)


_sinc = functools.lru_cache(maxsize=32)(_Sinc)
