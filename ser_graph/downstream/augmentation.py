"""Augmentation of log-mel spectrograms in training: shifts in time, and SpecAugment's masks.

Every row of a batch has its own random numbers, seeds and neighbours alike. Other voices come from copies of clips
at other speeds, which the teacher embeds too: see `ser_graph.corpora.copies`. Noise, gain and tempo did not improve
the students (docs/results.md).
"""

import torch
from torch import Tensor

from ser_graph.common.hashing import content_hash

MASKED = 0.25  # largest share of the frames, and of the mel bins, that masks hide
_MASKS = 2  # per axis, as in SpecAugment's policies for LibriSpeech

AUGMENTATIONS = ("shift", "masks")
DEFAULT_AUGMENTATION = "shift+masks"


class Augmentation:
    """Random changes of the spectrograms of a batch in training.

    The random numbers depend only on the seed and the number of the epoch, see `start_epoch`. They are drawn on the
    CPU. Therefore a resumed run equals an uninterrupted run, on every device.

    - ``shift`` starts a clip at a random frame; the frames before it move to the end, like the repetitions of short
      clips.
    - ``masks`` hide two bands of frames and two of mel bins, each of a width drawn from 0 to half of `MASKED`
      (Park et al., "SpecAugment", Interspeech 2019).

    Args:
        parts: names of `AUGMENTATIONS`, joined by ``+``, or ``"none"``.
    """

    def __init__(self, parts: str = DEFAULT_AUGMENTATION) -> None:
        self.parts = frozenset(parts.split("+"))
        self.start_epoch(0, 0)

    def start_epoch(self, seed: int, epoch: int, rank: int = 0) -> None:
        """Set the random numbers for an epoch, counted from 0. Each of several processes draws its own."""
        key = ("augmentation", seed, epoch, *([rank] if rank else []))
        self._generator = torch.Generator().manual_seed(int(content_hash(*key)[:15], 16))

    def distort(self, x: Tensor) -> Tensor:
        """[B, n_frames, n_mels] spectrograms as measured -> the same, distorted but not masked, float32."""
        if "shift" not in self.parts:
            return x.float()
        return shift_time(x.float(), torch.rand(len(x), generator=self._generator).to(x.device))

    def mask(self, z: Tensor) -> Tensor:
        """[B, n_frames, n_mels] standardised spectrograms -> the same, 0 (the mean) under the masks."""
        if "masks" not in self.parts:
            return z
        frames, bins = (self._masked(len(z), length).to(z.device) for length in z.shape[1:])
        return z.masked_fill(frames[:, :, None] | bins[:, None, :], 0)

    def _masked(self, n: int, length: int) -> Tensor:
        """[n, length] bool: True under the masks of one axis."""
        widest = int(MASKED * length / _MASKS)
        share = torch.rand(2, n, _MASKS, 1, generator=self._generator)
        width = (share[0] * (widest + 1)).floor()
        start = (share[1] * (length - width + 1)).floor()
        place = torch.arange(length)
        return ((place >= start) & (place < start + width)).any(1)


def shift_time(x: Tensor, share: Tensor) -> Tensor:
    """Start spectrograms [B, n_frames, n_mels] at a later frame, [B] as a share; earlier frames move to the end.

    Examples:
        >>> shift_time(torch.tensor([[[0.0], [1.0], [2.0], [3.0]]]), torch.tensor([0.5])).flatten()
        tensor([2., 3., 0., 1.])
    """
    n_frames = x.shape[1]
    start = (share * n_frames).long()
    place = (torch.arange(n_frames, device=x.device) + start[:, None]) % n_frames
    return x[torch.arange(len(x), device=x.device)[:, None], place]
