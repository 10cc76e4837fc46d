"""Several processes, on one machine or many, that work together: ``torchrun`` or ``accelerate`` starts them.

Each holds the whole model and takes an equal share of the rows of every batch. Nothing is asked of one process that
is not asked of all at the same step, so that none waits for what never comes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ser_graph.errors import InputError


@dataclass(frozen=True)
class Processes:
    """Who works together.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is nobody else."""
        return self.size == 1

    def share(self, n: int) -> slice:
        """This process's rows of `n`: a block of them, none where there are more processes than rows.

        Examples:
            >>> [Processes(rank, 3).share(7) for rank in range(3)]
            [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
        """
        each, more = divmod(n, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def gather(self, mine: Tensor, n: int) -> Tensor:
        """[n, ...] every process's share of `n` rows, in order and without gradient.

        Args:
            mine: the rows of `share`.
            n: rows of all.
        """
        if self.alone:
            return mine.detach()
        shares = [Processes(rank, self.size).share(n) for rank in range(self.size)]
        padded = mine.new_zeros(-(-n // self.size), *mine.shape[1:])  # messages have to be of one size
        padded[: len(mine)] = mine.detach()
        everyone = [torch.empty_like(padded) for _ in shares]
        with _broken_off():
            dist.all_gather(everyone, padded)
        return torch.cat([rows[: share.stop - share.start] for rows, share in zip(everyone, shares, strict=True)])

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in place."""
        if not self.alone:
            with _broken_off():
                dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Until all processes have come here."""
        self.add(torch.zeros(1))

    def check_same(self, number: int, what: str) -> None:
        """Refuse to begin where the processes do not agree on a number.

        Raises:
            InputError: names what they do not agree on.
        """
        numbers = self.gather(torch.tensor([number]), self.size).tolist()
        if len(set(numbers)) > 1:
            raise InputError(
                f"The {self.size} processes do not agree on {what}: {numbers}; give all the same data, settings "
                "and files"
            )

    def check_enough(self, n: int, what: str) -> None:
        """Refuse to share fewer rows than there are processes.

        Raises:
            InputError: says how many of `what` there are.
        """
        if self.size > n:
            raise InputError(f"{self.size} processes for {n} {what}; start no more processes than clips")


ALONE = Processes()


def processes() -> Processes:
    """Those that `torchrun` or `accelerate` started, connected by gloo, on GPUs by NCCL; or this one alone."""
    if not dist.is_initialized():
        if not _started_together():
            return ALONE
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        with _broken_off():
            # Numbers on the CPU travel by gloo, those on GPUs by NCCL.
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return Processes(dist.get_rank(), dist.get_world_size())


def is_first() -> bool:
    """Whether this process is the one that writes and shows progress."""
    return not _started_together() or int(os.environ.get("RANK", "0")) == 0


def _started_together() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ


@contextmanager
def _broken_off() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:  # gloo raises the one, an address that is no address the other
        raise InputError(
            "The other processes are not reached any more; did one end? Start all again: what was stored goes on "
            f"from there ({str(error).splitlines()[0]})"
        ) from None
