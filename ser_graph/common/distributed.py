"""Several processes that work together, on one or more machines; ``torchrun`` or ``accelerate`` starts them.

Each process holds the whole model and takes an equal share of the rows of every batch. All processes call the same
functions at the same step, so that no process waits forever for another.
"""

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ser_graph.common.processes import started_together
from ser_graph.errors import InputError

_LONGEST = timedelta(days=1)  # that a process waits for another, which may fine-tune a large model alone

Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """A group of processes that work together.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.size == 1

    def share(self, n: int) -> slice:
        """The rows of this process among `n` rows, a block; empty if there are too few rows.

        Examples:
            >>> [Processes(rank, 3).share(7) for rank in range(3)]
            [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
        """
        each, more = divmod(n, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def gather(self, mine: Tensor, n: int) -> Tensor:
        """[n, ...] the rows of all processes, in order and without gradient; `mine` are those of this process."""
        if self.alone:
            return mine.detach()
        shares = [Processes(rank, self.size).share(n) for rank in range(self.size)]
        padded = mine.new_zeros(-(-n // self.size), *mine.shape[1:])  # all messages must have one size
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

    def exchange(self, mine: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Send rows to each process, and receive rows from each.

        Args:
            mine: [n, ...] rows, those for the first process first.
            counts: [size] int64 number of rows for each process.

        Returns:
            The received rows, those of the first process first, and their numbers [size].
        """
        if self.alone:
            return mine, counts
        received = torch.empty_like(counts)
        with _broken_off():
            dist.all_to_all_single(received, counts)
            rows = mine.new_empty(int(received.sum()), *mine.shape[1:])
            dist.all_to_all_single(rows, mine.contiguous(), received.tolist(), counts.tolist())
        return rows, received

    def wait(self) -> None:
        """Wait until all processes call this function."""
        self.add(torch.zeros(1))

    def of_first(self, flag: bool) -> bool:
        """The flag of the first process, for all: a shared folder may show a new file to one process only."""
        return bool(self.add(torch.tensor([float(flag and self.rank == 0)])))

    def from_first(self, tensor: Tensor) -> Tensor:
        """The tensor of the first process, for all; the others give one of the same shape, which is overwritten."""
        if self.alone:
            return tensor
        tensor = tensor.contiguous()  # gloo sends the memory as it lies
        with _broken_off():
            dist.broadcast(tensor, 0)
        return tensor

    def after_first(self, call: Callable[[], Result]) -> Result:
        """The result of a call that the first process makes before the others, which then find what it stored.

        The function returns when all processes have their result: the first process may then move what it stored.
        """
        if self.rank > 0:
            self.wait()
        result = call()
        if self.rank == 0:
            self.wait()
        self.wait()
        return result

    def check_same(self, number: int, what: str) -> None:
        """Refuse to begin if a number differs between the processes.

        Raises:
            InputError: the numbers differ; the message names `what`.
        """
        numbers = self.gather(torch.tensor([number]), self.size).tolist()
        if len(set(numbers)) > 1:
            raise InputError(
                f"The {self.size} processes do not agree on {what}: {numbers}; give all processes the same "
                "data, settings and files"
            )

    def check_enough(self, n: int, what: str) -> None:
        """Refuse to share fewer rows than there are processes.

        Raises:
            InputError: more processes than `what`.
        """
        if self.size > n:
            raise InputError(f"{self.size} processes for {n} {what}; start no more processes than clips")


ALONE = Processes()


def processes() -> Processes:
    """The processes of `torchrun` or `accelerate`, connected by gloo, on GPUs by NCCL; or only this one."""
    if not dist.is_initialized():
        if not started_together():
            return ALONE
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        with _broken_off():
            # gloo carries tensors on the CPU, NCCL tensors on GPUs.
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_LONGEST)
        # If the process ends before gloo's threads, it aborts now and then, after all is done.
        atexit.register(_leave)
    return Processes(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _broken_off() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:  # RuntimeError: from gloo; ValueError: a bad address
        raise InputError(
            f"The connection to the other processes is lost ({str(error).splitlines()[0]}); check whether one of "
            "them ended, then start all of them again to resume"
        ) from None
