"""The losses beside cross entropy: of neighbours, and of a teacher's similarities, embeddings and classes."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ser_graph.errors import bad_value


def _cosine(p: Tensor, q: Tensor) -> Tensor:
    """1 - cos(p, q), the paper's distance."""
    return 1 - functional.cosine_similarity(p, q, dim=-1)


def _l2(p: Tensor, q: Tensor) -> Tensor:
    """|p - q|^2."""
    return (p - q).square().sum(-1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(softmax(p) || softmax(q)): the seed's distribution against its neighbour's."""
    log_p, log_q = functional.log_softmax(p, -1), functional.log_softmax(q, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


Distance = Literal["cosine", "l2", "kl"]
Reduction = Literal["mean", "sum"]

DISTANCES = {"cosine": _cosine, "l2": _l2, "kl": _kl}
REDUCTIONS = get_args(Reduction)


def neighbour_loss(
    outputs: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    neighbours: Tensor | None = None,
    distance: str = "cosine",
    reduction: str = "mean",
) -> Tensor:
    """The loss of neural structured learning: the outputs of neighbouring clips shall be close.

    With seeds i of a batch, neighbours k of i, edge weights w_ik and the output p of a layer:

        reduction="mean" (official code)      sum_ik w_ik d(p_i, p_k) / #{(i, k): w_ik != 0}
        reduction="sum"  (paper, equation 2)  sum_ik w_ik d(p_i, p_k)

    Gradients flow through both sides. Chang et al., "Knowledge transfer for on-device speech emotion recognition
    with neural structured learning", 2022; Gopalan et al., "Neural structured learning", WSDM 2021.

    Args:
        outputs: [B, C] output of a layer for all nodes of a batch.
        edge_index: [2, E] int64, neighbour -> seed, in rows of `neighbours` and of `outputs`.
        edge_weight: [E] weight of each edge; None weighs all as 1.
        neighbours: [M, C] outputs of the neighbours' side; `outputs` by default.
        distance: ``"cosine"`` (1 - cos), ``"l2"`` (squared Euclidean), or ``"kl"`` (seed against neighbour,
            on softmax).
        reduction: ``"mean"`` over the edges of non-zero weight, or ``"sum"``.

    Returns:
        A float32 scalar; exactly 0 where there is no edge.

    Examples:
        >>> p = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
        >>> neighbour_loss(p, torch.tensor([[1, 2], [0, 0]]))  # a right angle and none at all
        tensor(0.5000)
    """
    if distance not in DISTANCES:
        raise bad_value("distance", distance, DISTANCES)
    if reduction not in REDUCTIONS:
        raise bad_value("reduction", reduction, REDUCTIONS)
    neighbour, seed = edge_index
    others = outputs if neighbours is None else neighbours
    distances = DISTANCES[distance](outputs[seed].float(), others[neighbour].float())
    count = distances.numel()
    if edge_weight is not None:
        distances = distances * edge_weight
        count = int(edge_weight.count_nonzero())
    total = distances.sum()
    return total / max(count, 1) if reduction == "mean" else total


def regression_loss(predicted: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Match the teacher's embedding with a prediction from the student's `fc1`.

    1 - cos(p_i, h_i) over the clips: 0 if the directions agree, 1 for a student that has learnt nothing. Romero et
    al., "FitNets", ICLR 2015, predict the teacher with a head on the student; arXiv 2604.24933 uses the cosine.

    Args:
        predicted: [B, D] p.
        targets: [B, D] h.
        reduction: ``"mean"`` or ``"sum"`` over the clips.

    Examples:
        >>> regression_loss(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        tensor(0.5000)
    """
    return _reduced(1 - functional.cosine_similarity(predicted.float(), targets, dim=1), reduction)


def distribution_loss(
    similarity: Tensor,
    teacher_similarity: Tensor,
    ignored: Tensor,
    student: float,
    teacher: float,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Match the teacher's distribution of the similarities of each of B clips to M clips.

    KL(softmax(t_i / T_t) || softmax(s_i / T_s)) over the rows. The loss pulls near clips together and pushes all
    others apart. Fang et al., "SEED", ICLR 2021; Zheng et al., "SimMatch", CVPR 2022.

    Args:
        similarity: [B, M] s, cosines of the student's outputs.
        teacher_similarity: [B, M] t, cosines of the teacher's embeddings.
        ignored: [B, M] bool, pairs to leave out: a clip with itself.
        student: temperature T_s.
        teacher: temperature T_t; the lower, the fewer clips count as near.
        reduction: ``"mean"`` or ``"sum"`` over the clips that are compared with at least two others.

    Examples:
        >>> near = torch.tensor([[1.0, 0.0, -1.0]])
        >>> nothing = torch.zeros(1, 3, dtype=torch.bool)
        >>> float(distribution_loss(near, near, nothing, 0.1, 0.1).abs()) < 1e-6
        True
    """
    rows = (~ignored).sum(1) > 1
    if not rows.any():
        return similarity.sum() * 0.0
    lowest = torch.finfo(torch.float32).min
    log_s = (similarity.float() / student).masked_fill(ignored, lowest)[rows].log_softmax(1)
    t = (teacher_similarity.float() / teacher).masked_fill(ignored, lowest)[rows].softmax(1)
    divergence = (t * (t.clamp_min(1e-12).log() - log_s.clamp_min(lowest / 2))).sum(1)
    return _reduced(divergence, reduction)


def distillation_loss(
    logits: Tensor, teacher_log_probs: Tensor, temperature: float, *, reduction: str = "mean"
) -> Tensor:
    """Match the teacher's class probabilities; a temperature softens both sides.

    T^2 KL(softmax(log q_i / T) || softmax(z_i / T)) over the clips; T^2 keeps the size of the gradient as T
    changes. Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015.

    Args:
        logits: [B, K] z.
        teacher_log_probs: [B, K] log q; -inf for a class that the teacher does not know. A clip without
            probabilities of the teacher has a row of NaN and is left out.
        temperature: T > 0.
        reduction: ``"mean"`` or ``"sum"`` over the clips.

    Examples:
        >>> z = torch.tensor([[2.0, 0.0, -1.0]])
        >>> float(distillation_loss(z, z.log_softmax(1), 3.0).abs()) < 1e-6
        True
    """
    known = ~teacher_log_probs.isnan().any(1)
    target = (teacher_log_probs[known] / temperature).softmax(1)
    student = (logits[known].float() / temperature).log_softmax(1)
    divergence = functional.kl_div(student, target, reduction="none").sum(1)
    return temperature**2 * _reduced(divergence, reduction)


def _reduced(values: Tensor, reduction: str) -> Tensor:
    return values.sum() / max(len(values), 1) if reduction == "mean" else values.sum()
