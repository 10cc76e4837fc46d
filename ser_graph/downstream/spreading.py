"""One training step in several processes, with the result of one process.

Every process gets the node numbers of the whole batch, reads and forwards its share of the rows, and receives the
outputs of all rows. It then computes the loss of the whole batch; only its own rows have gradients. The sum of the
processes' gradients equals the gradient of one process. Therefore a loss needs no code for several processes. In a
step, the processes exchange 4 (256 + K) bytes per row, the gradients, and BatchNorm's sums.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ser_graph.audio.mapped import read_rows
from ser_graph.common.distributed import ALONE, Processes
from ser_graph.downstream.backbones import Output
from ser_graph.downstream.student import Student


class Spread(nn.Module):
    """A student that forwards its share of a batch of node numbers, and returns the outputs of all rows.

    Args:
        student: the model; its BatchNorm layers must be `JointBatchNorm`, see `join_batch_norms`.
        x: [N, n_frames, n_mels] spectrograms, possibly mapped from disk.
        group: the processes.
    """

    def __init__(self, student: Student, x: Tensor, group: Processes) -> None:
        super().__init__()
        self.student, self.x, self.group = student, x, group

    @property
    def needs_teacher(self) -> bool:
        """See `Student.needs_teacher`."""
        return self.student.needs_teacher

    def forward(self, nodes: Tensor, emb: Tensor | None = None, voice: Tensor | None = None) -> Output:
        """[R] int64 nodes and, where needed, their embeddings [R, 256] and voices [R, 3, n_mels] -> outputs."""
        share = self.group.share(len(nodes))
        x = read_rows(self.x, nodes[share].cpu()).to(nodes.device)
        mine = self.student(x, *(None if one is None else one[share] for one in (emb, voice)))
        return Output(*(self._with_others(one, share, len(nodes)) for one in mine))

    def _with_others(self, mine: Tensor, share: slice, n: int) -> Tensor:
        everyone = self.group.gather(mine, n)
        return torch.cat([everyone[: share.start], mine, everyone[share.stop :]])

    def add_gradients(self) -> None:
        """Give every process the sum of the gradients."""
        add_gradients(self.student, self.group)


def add_gradients(model: nn.Module, group: Processes) -> None:
    """Give every process the sum of a model's gradients, in one message."""
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    flat = group.add(torch.cat([one.reshape(-1) for one in gradients]))
    for gradient, summed in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))


class JointBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the mean and variance of the rows of all processes; that of torch needs GPUs."""

    group: Processes = ALONE

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same, normalised; B may be 0."""
        if not self.training:
            return super().forward(x)
        given, x = x.dtype, x.float()  # as in torch: sums in bfloat16 would be too coarse
        n = _Sum.apply(x.new_tensor([x.numel() / x.shape[1]]), self.group)
        mean = _Sum.apply(x.sum((0, 2, 3)), self.group) / n
        centred = x - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3)), self.group) / n
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach(), float(n))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(given)

    def _remember(self, mean: Tensor, variance: Tensor, n: float) -> None:
        seen = cast(Tensor, self.num_batches_tracked).add_(1)
        momentum = 1 / float(seen) if self.momentum is None else self.momentum  # None: the mean over all batches
        cast(Tensor, self.running_mean).lerp_(mean, momentum)
        cast(Tensor, self.running_var).lerp_(variance * (n / max(n - 1, 1)), momentum)


class _Sum(torch.autograd.Function):
    """The sum over processes. The loss of every process may depend on it, so the gradients are added too."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, mine: Tensor, group: Processes) -> Tensor:
        ctx.group = group  # type: ignore[attr-defined]
        return group.add(mine.clone())

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.group.add(gradient.contiguous().clone()), None  # type: ignore[attr-defined]


def join_batch_norms(model: nn.Module, group: Processes) -> None:
    """Turn every BatchNorm of a model into a `JointBatchNorm` of the same weights and names, in place."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = JointBatchNorm
            cast(JointBatchNorm, module).group = group


def part_batch_norms(model: nn.Module) -> None:
    """The reverse of `join_batch_norms`."""
    for module in model.modules():
        if isinstance(module, JointBatchNorm):
            del module.group
            cast(nn.Module, module).__class__ = nn.BatchNorm2d
