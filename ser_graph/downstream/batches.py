"""Batches of labelled and unlabelled seeds, for trainings that do not simply shuffle their seeds."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


class LabelledBatches(Sampler[list[int]]):
    """Batches of labelled seeds, each followed by unlabelled seeds.

    The number of steps does not depend on the number of labels: if few clips are labelled, each is used more often
    in an epoch.

    Args:
        labelled: [L] int64 numbers of the labelled seeds. Every seed is used once before any seed is used again.
        unlabelled: [U] int64 numbers of the unlabelled seeds.
        weights: [U] float, proportional to the probability of each unlabelled seed; None means equal probabilities.
        steps: batches in an epoch.
        batch_size: labelled seeds in a batch.
        ratio: unlabelled seeds per labelled seed; their number in a batch is rounded.
        generator: draws the order. The batches of a pass depend only on its state.

    Examples:
        >>> batches = LabelledBatches(torch.arange(2), torch.arange(2, 9), None, 3, 2, 1.5)
        >>> [(sum(seed < 2 for seed in batch), sum(seed >= 2 for seed in batch)) for batch in batches]
        [(2, 3), (2, 3), (2, 3)]
    """

    def __init__(
        self,
        labelled: Tensor,
        unlabelled: Tensor,
        weights: Tensor | None,
        steps: int,
        batch_size: int,
        ratio: float,
        generator: torch.Generator | None = None,
    ) -> None:
        self.labelled, self.unlabelled, self.weights = labelled, unlabelled, weights
        self.steps, self.size = steps, (batch_size, round(ratio * batch_size) if len(unlabelled) else 0)
        self.generator = generator

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        n, m = self.size
        labelled = self._drawn(self.labelled, self.steps * n)
        unlabelled = self._drawn(self.unlabelled, self.steps * m, self.weights)
        for step in range(self.steps):
            yield labelled[step * n : (step + 1) * n] + unlabelled[step * m : (step + 1) * m]

    def _drawn(self, clips: Tensor, n: int, weights: Tensor | None = None) -> list[int]:
        """`n` of the clips: from repeated random orders of all clips, or drawn independently by weight."""
        if weights is not None and n:
            return clips[torch.multinomial(weights, n, replacement=True, generator=self.generator)].tolist()
        orders: list[int] = []
        while len(orders) < n:
            orders += clips[torch.randperm(len(clips), generator=self.generator)].tolist()
        return orders[:n]


def balance(speaker: Tensor) -> Tensor:
    """[U] float64 weights that limit the influence of speakers with many clips.

    The weight of a clip is the inverse square root of the number of its speaker's clips. This is half way between
    equal weights for clips and equal weights for speakers.

    Args:
        speaker: [U] int64 codes; -1, unknown, counts as one speaker.

    Examples:
        >>> balance(torch.tensor([0, 0, 0, 0, 1])).tolist()
        [0.5, 0.5, 0.5, 0.5, 1.0]
    """
    _, place, counts = speaker.unique(return_inverse=True, return_counts=True)
    return counts[place].double().rsqrt()
