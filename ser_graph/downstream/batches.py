"""The seeds of each step, where they are not simply shuffled."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler


class LabelledBatches(Sampler[list[int]]):
    """Batches of labelled seeds, each followed by its share of unlabelled ones.

    An epoch has as many labelled seeds, and so as many steps, as one in which all `n_seeds` clips have their
    label: the fewer they are, the more often each comes. Trainings with few labels and with many so differ in
    labels, not in steps.

    Args:
        labelled: [L] int64 numbers of the labelled seeds. All come once before one comes again.
        unlabelled: [U] int64 likewise.
        n_seeds: labelled seeds in an epoch, counted with repetitions.
        batch_size: labelled seeds in a batch; the last batch has the rest.
        ratio: unlabelled seeds for each labelled one, rounded in each batch.
        generator: of the order. A pass depends on nothing but its state.

    Examples:
        >>> batches = LabelledBatches(torch.arange(2), torch.arange(2, 9), 5, 2, 1.5)
        >>> [(sum(seed < 2 for seed in batch), sum(seed >= 2 for seed in batch)) for batch in batches]
        [(2, 3), (2, 3), (1, 2)]
    """

    def __init__(
        self,
        labelled: Tensor,
        unlabelled: Tensor,
        n_seeds: int,
        batch_size: int,
        ratio: float,
        generator: torch.Generator | None = None,
    ) -> None:
        self.labelled, self.unlabelled = labelled, unlabelled
        sizes = [min(batch_size, n_seeds - start) for start in range(0, n_seeds, batch_size)]
        self.sizes = [(size, round(ratio * size) if len(unlabelled) else 0) for size in sizes]
        self.generator = generator

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        n_labelled, n_unlabelled = (sum(column) for column in zip(*self.sizes, strict=True))
        labelled = iter(self._drawn(self.labelled, n_labelled))
        unlabelled = iter(self._drawn(self.unlabelled, n_unlabelled))
        for n, m in self.sizes:
            yield [next(labelled) for _ in range(n)] + [next(unlabelled) for _ in range(m)]

    def _drawn(self, clips: Tensor, n: int) -> list[int]:
        """`n` of the clips: one random order of all after the other."""
        orders: list[int] = []
        while len(orders) < n:
            orders += clips[torch.randperm(len(clips), generator=self.generator)].tolist()
        return orders[:n]


class PartitionBatches(Sampler[list[int]]):
    """Batches of whole parts of the graph, in which neighbours meet; see `partition`.

    A part is a clique of like clips, often of one emotion: a batch therefore takes several, drawn anew in each
    epoch.

    Args:
        part: [S] int64 the part of each seed.
        parts_per_batch: how many make a batch; the last batch has the rest.
        generator: of the order. A pass depends on nothing but its state.

    Examples:
        >>> batches = PartitionBatches(torch.tensor([0, 1, 0, 1, 2]), 2)
        >>> len(batches), sorted(seed for batch in batches for seed in batch)
        (2, [0, 1, 2, 3, 4])
    """

    def __init__(self, part: Tensor, parts_per_batch: int, generator: torch.Generator | None = None) -> None:
        self.parts = part.argsort(stable=True).split(part.bincount().tolist())
        self.parts_per_batch = parts_per_batch
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.parts) // self.parts_per_batch)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.parts), generator=self.generator).tolist()
        for start in range(0, len(order), self.parts_per_batch):
            yield torch.cat([self.parts[one] for one in order[start : start + self.parts_per_batch]]).tolist()
