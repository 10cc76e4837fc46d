"""What a student can learn from a teacher without a graph of neighbours, or beside one.

Each takes `reduction`: the mean, or the sum, of what is said to be summed.
"""

import torch
from torch import Tensor
from torch.nn import functional


def similarity_loss(outputs: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    """The soft graph: the cosine similarities of all pairs of clips shall be the teacher's.

    (cos(p_i, p_j) - cos(h_i, h_j))^2 over the pairs i < j. A neighbour loss only pulls; here pairs that are
    far apart for the teacher are pushed as well. Relations instead of embeddings: Park et al., "Relational
    knowledge distillation", CVPR 2019; cosine similarities within a batch, row by row: Tung & Mori,
    "Similarity-preserving knowledge distillation", ICCV 2019.

    Args:
        outputs: [B, C] output p of the student, for all clips of a batch.
        teacher: [B, D] embeddings h.
        reduction: ``"mean"`` or ``"sum"`` over the pairs.

    Returns:
        A float32 scalar from 0 to 4 if a mean; 0 where there is no pair.

    Examples:
        >>> p, h = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0], [3.0]])
        >>> similarity_loss(p, h)  # a right angle for the student, none for the teacher
        tensor(1.)
    """
    student, teacher = (functional.normalize(one.float(), dim=1) for one in (outputs, teacher))
    i, j = torch.triu_indices(len(student), len(student), 1, device=student.device)
    return _reduced((student @ student.T - teacher @ teacher.T)[i, j].square(), reduction)


def regression_loss(predicted: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """The teacher's embedding, predicted by a linear layer on the student's `fc1`.

    |predicted_i - h_i|^2 / D over the clips. With h of unit mean variance (see `unit_variance`), the mean is the
    share of its variance that is not explained: 1 for a student that knows the mean alone. A student's layer
    that regresses a teacher's: Romero et al., "FitNets", ICLR 2015.

    Args:
        predicted: [B, D].
        targets: [B, D] h.
        reduction: ``"mean"`` or ``"sum"`` over the clips.

    Examples:
        >>> regression_loss(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]]))
        tensor(2.5000)
    """
    return _reduced((predicted.float() - targets).square().mean(1), reduction)


def distillation_loss(
    logits: Tensor, log_posteriors: Tensor, temperature: float, *, reduction: str = "mean"
) -> Tensor:
    """The teacher's class probabilities, softened on both sides.

    T^2 KL(softmax(log q_i / T) || softmax(z_i / T)) over the clips; T^2 keeps the size of the gradient as T
    changes. Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015.

    Args:
        logits: [B, K] z.
        log_posteriors: [B, K] log q; -inf is a class that the teacher does not know.
        temperature: T > 0.
        reduction: ``"mean"`` or ``"sum"`` over the clips.

    Examples:
        >>> z = torch.tensor([[2.0, 0.0, -1.0]])
        >>> float(distillation_loss(z, z.log_softmax(1), 3.0).abs()) < 1e-6
        True
    """
    target = (log_posteriors / temperature).softmax(1)
    student = (logits.float() / temperature).log_softmax(1)
    divergence = functional.kl_div(student, target, reduction="none").sum(1)
    return temperature**2 * _reduced(divergence, reduction)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    return values.sum() / max(len(values), 1) if reduction == "mean" else values.sum()
