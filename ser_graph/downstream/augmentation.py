"""Augmentation of log-mel spectrograms in training: other speeds and levels, and SpecAugment's masks.

Every row of a batch gets draws of its own, neighbours as well as seeds: the neighbour loss then asks for outputs
that stay close however the two clips were distorted.
"""

import math
from numbers import Real

import torch
from torch import Tensor

from ser_graph.errors import InputError
from ser_graph.files import content_hash

_MASKS = 2  # per axis, as in SpecAugment's policies for LibriSpeech


class Augmentation:
    """What is done to a batch in training. All amounts 0: nothing.

    The draws follow from the seed and the number of the epoch, see `start_epoch`, and are made on the CPU: a
    resumed run goes on as the uninterrupted one would have, on every device.

    Args:
        spec_augment: the largest share of the frames, and of the mel bins, that masks hide: two masks an axis,
            each of a width drawn from 0 to half of that (Park et al., "SpecAugment", Interspeech 2019).
        gain: each clip becomes louder or softer by up to so many dB.
        speed: each clip becomes faster or slower by up to this share.
        floor: power that was added before the logarithm, see `LogMelSettings`.
    """

    def __init__(
        self, spec_augment: float = 0.0, gain: float = 0.0, speed: float = 0.0, *, floor: float = 1e-6
    ) -> None:
        check_augmentation(spec_augment, gain, speed)
        self.spec_augment, self.gain, self.speed, self.floor = spec_augment, gain, speed, floor
        self.start_epoch(0, 0)

    def start_epoch(self, seed: int, epoch: int, rank: int = 0) -> None:
        """Begin the draws of an epoch, counted from 0; of several processes each has its own."""
        asked = ("augmentation", seed, epoch, *([rank] if rank else []))
        self._generator = torch.Generator().manual_seed(int(content_hash(*asked)[:15], 16))

    def distort(self, x: Tensor) -> Tensor:
        """[B, n_frames, n_mels] spectrograms as measured -> the same at other speeds and levels, float32."""
        x = x.float()
        if self.speed:
            x = change_speed(x, 1 + self.speed * self._signed(len(x)).to(x.device))
        if self.gain:
            x = change_gain(x, self.gain * self._signed(len(x)).to(x.device), self.floor)
        return x

    def mask(self, z: Tensor) -> Tensor:
        """[B, n_frames, n_mels] standardised spectrograms -> the same, 0 (the mean) under the masks."""
        if not self.spec_augment:
            return z
        frames, bins = (self._masked(len(z), length).to(z.device) for length in z.shape[1:])
        return z.masked_fill(frames[:, :, None] | bins[:, None, :], 0)

    def _signed(self, n: int) -> Tensor:
        """[n] uniform in -1 to 1."""
        return 2 * torch.rand(n, generator=self._generator) - 1

    def _masked(self, n: int, length: int) -> Tensor:
        """[n, length] bool: what the masks of one axis hide."""
        widest = int(self.spec_augment * length / _MASKS)
        share = torch.rand(2, n, _MASKS, 1, generator=self._generator)
        width = (share[0] * (widest + 1)).floor()
        start = (share[1] * (length - width + 1)).floor()
        place = torch.arange(length)
        return ((place >= start) & (place < start + width)).any(1)


def change_speed(x: Tensor, rate: Tensor) -> Tensor:
    """Play spectrograms faster or slower by linear interpolation between frames.

    A faster clip begins anew at its end, as short clips are repeated anyway. Only tempo changes: pitch and
    formants stay where they are, which resampling the waveform would move too.

    Args:
        x: [B, n_frames, n_mels] float32.
        rate: [B] 1 = as it is, 2 = twice as fast.

    Examples:
        >>> change_speed(torch.tensor([[[0.0], [1.0], [2.0], [3.0]]]), torch.tensor([0.5])).flatten()
        tensor([0.0000, 0.5000, 1.0000, 1.5000])
    """
    n_frames = x.shape[1]
    place = (torch.arange(n_frames, device=x.device) * rate[:, None]) % n_frames
    before = place.floor()
    row = torch.arange(len(x), device=x.device)[:, None]
    first = before.long() % n_frames  # rounding may have led `place` to n_frames itself
    return x[row, first].lerp(x[row, (first + 1) % n_frames], (place - before)[:, :, None])


def change_gain(x: Tensor, gain: Tensor, floor: float) -> Tensor:
    """Make spectrograms louder or softer, as if the waveform had been.

    With g the factor on power, log(p + floor) becomes log(g p + floor): silence stays at the floor, where
    adding log(g) would lift it. Normalised per utterance, it is only near the floor that a level leaves a trace.

    Args:
        x: [B, n_frames, n_mels] float32, log(p + floor), natural logarithm.
        gain: [B] in dB.
        floor: power that was added before the logarithm.

    Examples:
        >>> change_gain(torch.tensor([[[0.0, math.log(1e-6)]]]), torch.tensor([20.0]), 1e-6)
        tensor([[[  4.6052, -13.8155]]])
    """
    factor = (10 ** (gain / 10))[:, None, None]
    silence = (math.log(floor) - x).exp().clamp_max(1)  # the floor's share of the power
    return x + (factor + (1 - factor) * silence).log()


def check_augmentation(spec_augment: float, gain: float, speed: float) -> None:
    """Refuse amounts that cannot be meant."""
    for name, given, end, meaning in (
        ("spec_augment", spec_augment, 1, "a share from 0 to below 1"),
        ("gain", gain, 60, "dB from 0 to below 60"),
        ("speed", speed, 1, "a share from 0 to below 1"),
    ):
        if not (isinstance(given, Real) and 0 <= given < end):
            raise InputError(f"Bad {name} {given!r}, expected {meaning}; 0 leaves it out")
