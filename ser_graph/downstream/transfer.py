"""Transfer-learning baselines: the teacher's embedding joins the student's `fc1`, in training and at inference.

The paper compares its graph with these three. The paper's code does not contain them. Its text says that the
embeddings are "added / maximised / averaged with the output of the 'FC1' layer". This module does so on the side of
the ReLU that `fc1` shows (before it in VGG-15 and CNN-6, after it in ResNet-9 and MobileNet-15). Such a student
needs the teacher for every clip that it predicts. It serves for comparison and cannot run on a device.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from ser_graph.downstream.backbones import FC1, scaled
from ser_graph.errors import InputError


def _average(fc1: Tensor, emb: Tensor) -> Tensor:
    return (fc1 + emb) / 2


Transfer = Literal["none", "add", "max", "avg"]

_FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "max": torch.maximum,
    "avg": _average,
}

TRANSFERS = get_args(Transfer)


def fuse(fc1: Tensor, emb: Tensor, transfer: str) -> Tensor:
    """Join the output `fc1` of the student and the embeddings of the teacher, [B, F] both, element by element.

    Examples:
        >>> fuse(torch.tensor([1.0, -2.0]), torch.tensor([3.0, 4.0]), "avg")
        tensor([2., 1.])
    """
    return _FUSIONS[transfer](fc1, emb.to(fc1.dtype))


def check_transfer(transfer: str, emb: Tensor, width: float) -> None:
    """Refuse embeddings [N, D] that do not fit `fc1`; ``"none"`` accepts any, because it does not use them.

    Raises:
        InputError: D is not the size of `fc1`.
    """
    size = scaled(FC1, width)
    if transfer != "none" and emb.shape[-1] != size:
        raise InputError(
            f"transfer={transfer!r} needs embeddings of {size} dimensions, as many as fc1 has at width {width:g}; "
            f"those of the graph have {emb.shape[-1]}: use an upstream whose projector has {size}, another width, "
            "or transfer='none'"
        )
