"""The neighbour loss of neural structured learning: keep the outputs of neighbouring clips close.

With seeds i of a batch, neighbours k of i, edge weights w_ik and the output p of a layer:

    reduction="mean" (official code)      sum_ik w_ik d(p_i, p_k) / #{(i, k): w_ik != 0}
    reduction="sum"  (paper, equation 2)  sum_ik w_ik d(p_i, p_k)

Chang et al., "Knowledge transfer for on-device speech emotion recognition with neural structured learning",
2022; Gopalan et al., "Neural structured learning", WSDM 2021.
"""

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


DISTANCES = {"cosine": _cosine, "l2": _l2, "kl": _kl}
REDUCTIONS = ("mean", "sum")


def neighbour_loss(
    outputs: Tensor,
    edge_index: Tensor,
    edge_weight: Tensor | None = None,
    *,
    neighbours: Tensor | None = None,
    distance: str = "cosine",
    reduction: str = "mean",
) -> Tensor:
    """The distance between the outputs of neighbours. Gradients flow through both sides.

    Args:
        outputs: [B, C] output of a layer for all nodes of a batch.
        edge_index: [2, E] int64, neighbour -> seed, in rows of `neighbours` and of `outputs`.
        edge_weight: [E] weight of each edge; None means 1 for all edges.
        neighbours: [M, C] outputs of the neighbours; `outputs` by default.
        distance: ``"cosine"`` (1 - cos), ``"l2"`` (squared Euclidean), or ``"kl"`` (of the seed from the neighbour,
            after softmax).
        reduction: ``"mean"`` over the edges with non-zero weight, or ``"sum"``.

    Returns:
        A float32 scalar; exactly 0 without edges.

    Examples:
        >>> import torch
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
