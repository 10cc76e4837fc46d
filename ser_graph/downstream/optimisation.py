"""Optimiser, learning rate schedule, averaged weights, and BatchNorm statistics that fit these weights."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ser_graph.audio.mapped import read_rows
from ser_graph.audio.standardise import Voices
from ser_graph.common.devices import Precision, autocast
from ser_graph.downstream.student import Student

WARM_UP = 0.05  # share of the steps in which the rate rises
WEIGHT_DECAY = 0.05
AVERAGED = 0.998  # share of the averaged weights that a step keeps: the average spans about 500 steps
COUNTED = 1024  # clips for BatchNorm's statistics
DECAY, DECAY_EVERY = 0.9, 5  # factor of the paper's rate, and epochs between two decays


def make_optimiser(
    parameters: Iterable[nn.Parameter], schedule: str, learning_rate: float
) -> torch.optim.Optimizer:
    """AdamW for the cosine schedule, and for the paper's Adam."""
    if schedule == "paper":
        return torch.optim.Adam(parameters, learning_rate)
    return torch.optim.AdamW(parameters, learning_rate, weight_decay=WEIGHT_DECAY)


def rate_at(schedule: str, step: int, steps: int, epochs: int) -> float:
    """The share of the learning rate in a step, counted from 0.

    ``"cosine"`` rises linearly over the first 5 % of the steps and falls to 0 along half a cosine; ``"paper"``
    falls by a tenth every 5 epochs.

    Examples:
        >>> [round(rate_at("cosine", step, 100, 10), 2) for step in (0, 4, 52, 99)]
        [0.2, 1.0, 0.49, 0.0]
        >>> [round(rate_at("paper", step, 100, 10), 2) for step in (0, 49, 50, 99)]
        [1.0, 1.0, 0.9, 0.9]
    """
    if schedule == "paper":
        return DECAY ** (step * epochs // steps // DECAY_EVERY)
    warm = max(round(WARM_UP * steps), 1)
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm + 1) / max(steps - warm, 1))) / 2


class Average(AveragedModel):
    """An exponential average of the weights of a student; it forgets the first steps faster."""

    def __init__(self, student: Student) -> None:
        super().__init__(student, multi_avg_fn=_average, use_buffers=False)

    def with_statistics(self, x: Tensor, rows: Tensor, voices: Voices | None, precision: Precision) -> Student:
        """The averaged student, with new BatchNorm statistics.

        Running statistics lag behind the weights, by hundreds of steps in the paper's networks, and no forward pass
        has used the averaged weights. Therefore mean and variance are computed again, on the first `COUNTED`
        training clips of `rows` [M].
        """
        student = cast(Student, copy.deepcopy(self.module))
        student.augment = None
        count_statistics(student, x, rows[:COUNTED], voices, precision)
        return student


def _average(averaged: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int) -> None:
    n = int(n_averaged)
    torch._foreach_lerp_(list(averaged), list(current), 1 - min(AVERAGED, (1 + n) / (10 + n)))


@torch.no_grad()
def count_statistics(
    student: Student, x: Tensor, rows: Tensor, voices: Voices | None, precision: Precision, batch_size: int = 64
) -> None:
    """Set BatchNorm's running statistics to those of some clips, batch by batch, in place."""
    device = student.standardise.mean.device
    with counting(student):
        for block in rows.tensor_split(math.ceil(len(rows) / batch_size)):  # of about equal size: all count equally
            with autocast(device, precision):
                voice = None if voices is None else voices.of(block).to(device)
                student.backbone(student.standardise(read_rows(x, block).to(device), voice))


@contextmanager
def counting(student: Student) -> Iterator[None]:
    """Reset BatchNorm's statistics and average those of the batches that follow."""
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    student.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
        student.eval()
