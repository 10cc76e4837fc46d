"""Augmentation of log-mel spectrograms in training: other starts, levels, speeds, noise, and SpecAugment's masks.

Every row of a batch gets draws of its own, neighbours as well as seeds. The amounts are constants: which parts pay
is measured in docs/results.md, and one setting names them.
"""

import math

import torch
from torch import Tensor

from ser_graph.files import content_hash

MASKED = 0.25  # largest share of the frames, and of the mel bins, that masks hide
GAIN = 6.0  # dB, up and down
SPEED = 0.1  # share, faster and slower
NOISE = (5.0, 30.0)  # signal-to-noise ratio in dB, of half of the clips
_MASKS = 2  # per axis, as in SpecAugment's policies for LibriSpeech

AUGMENTATIONS = ("shift", "masks", "gain", "speed", "noise")
DEFAULT_AUGMENTATION = "shift+masks"


class Augmentation:
    """What is done to a batch in training.

    The draws follow from the seed and the number of the epoch, see `start_epoch`, and are made on the CPU: a
    resumed run goes on as the uninterrupted one would have, on every device.

    - ``shift`` moves a clip in time; what leaves at its end comes back at its start, as short clips are repeated.
    - ``masks`` hide two bands of frames and two of mel bins, each of a width drawn from 0 to half of `MASKED`
      (Park et al., "SpecAugment", Interspeech 2019).
    - ``gain`` makes a clip louder or softer by up to `GAIN` dB.
    - ``speed`` makes it faster or slower by up to `SPEED`.
    - ``noise`` adds stationary noise with a random slope over the mel bins to half of the clips.

    Args:
        parts: names of `AUGMENTATIONS`, joined by ``+``, or ``"none"``.
        floor: power that was added before the logarithm, see `LogMelSettings`.
    """

    def __init__(self, parts: str = DEFAULT_AUGMENTATION, *, floor: float = 1e-6) -> None:
        self.parts, self.floor = frozenset(parts.split("+")), floor
        self.start_epoch(0, 0)

    def start_epoch(self, seed: int, epoch: int, rank: int = 0) -> None:
        """Begin the draws of an epoch, counted from 0; of several processes each has its own."""
        asked = ("augmentation", seed, epoch, *([rank] if rank else []))
        self._generator = torch.Generator().manual_seed(int(content_hash(*asked)[:15], 16))

    def distort(self, x: Tensor) -> Tensor:
        """[B, n_frames, n_mels] spectrograms as measured -> the same, distorted but not masked, float32."""
        x = x.float()
        if "shift" in self.parts:
            x = shift_time(x, self._uniform(len(x), device=x.device))
        if "speed" in self.parts:
            x = change_speed(x, 1 + SPEED * (2 * self._uniform(len(x), device=x.device) - 1))
        if "gain" in self.parts:
            x = change_gain(x, GAIN * (2 * self._uniform(len(x), device=x.device) - 1), self.floor)
        if "noise" in self.parts:
            x = self._noisy(x)
        return x

    def mask(self, z: Tensor) -> Tensor:
        """[B, n_frames, n_mels] standardised spectrograms -> the same, 0 (the mean) under the masks."""
        if "masks" not in self.parts:
            return z
        frames, bins = (self._masked(len(z), length).to(z.device) for length in z.shape[1:])
        return z.masked_fill(frames[:, :, None] | bins[:, None, :], 0)

    def _uniform(self, *shape: int, device: torch.device) -> Tensor:
        return torch.rand(*shape, generator=self._generator).to(device)

    def _noisy(self, x: Tensor) -> Tensor:
        n, device = len(x), x.device
        chosen, ratio, slope = self._uniform(3, n, device=device)
        ratio = NOISE[0] + (NOISE[1] - NOISE[0]) * ratio
        noisy = add_noise(x, ratio, 2 * slope - 1)
        return torch.where((chosen < 0.5)[:, None, None], noisy, x)

    def _masked(self, n: int, length: int) -> Tensor:
        """[n, length] bool: what the masks of one axis hide."""
        widest = int(MASKED * length / _MASKS)
        share = torch.rand(2, n, _MASKS, 1, generator=self._generator)
        width = (share[0] * (widest + 1)).floor()
        start = (share[1] * (length - width + 1)).floor()
        place = torch.arange(length)
        return ((place >= start) & (place < start + width)).any(1)


def shift_time(x: Tensor, share: Tensor) -> Tensor:
    """Let spectrograms begin later: what is before goes to the end.

    Args:
        x: [B, n_frames, n_mels].
        share: [B] of the frames, from 0 to below 1.

    Examples:
        >>> shift_time(torch.tensor([[[0.0], [1.0], [2.0], [3.0]]]), torch.tensor([0.5])).flatten()
        tensor([2., 3., 0., 1.])
    """
    n_frames = x.shape[1]
    start = (share * n_frames).long()
    place = (torch.arange(n_frames, device=x.device) + start[:, None]) % n_frames
    return x[torch.arange(len(x), device=x.device)[:, None], place]


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


def add_noise(x: Tensor, ratio: Tensor, slope: Tensor) -> Tensor:
    """Add stationary noise: in every frame the same power, which rises or falls over the mel bins.

    Args:
        x: [B, n_frames, n_mels] float32, natural logarithm of power.
        ratio: [B] mean power of the clip to mean power of the noise, in dB.
        slope: [B] of the noise: its power changes by e^(2 slope) from the middle to either end of the bins.

    Examples:
        >>> x = torch.zeros(1, 2, 3)  # a power of 1 everywhere, and noise of the same power
        >>> add_noise(x, torch.tensor([0.0]), torch.tensor([0.0])).exp().flatten()
        tensor([2., 2., 2., 2., 2., 2.])
    """
    power = x.logsumexp((1, 2)) - math.log(x.shape[1] * x.shape[2])
    tilt = 2 * slope[:, None] * torch.linspace(-1, 1, x.shape[2], device=x.device)
    tilt = tilt - (tilt.logsumexp(1, keepdim=True) - math.log(x.shape[2]))
    level = power - ratio * math.log(10) / 10
    return torch.logaddexp(x, (level[:, None] + tilt)[:, None, :])
