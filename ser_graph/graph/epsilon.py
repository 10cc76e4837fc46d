"""The effect of epsilon on a graph: similarities, coverage, and a warning if epsilon is useless."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ser_graph.common.warning import warn
from ser_graph.errors import InputError
from ser_graph.graph.meta import GraphMeasures, SimilarityHistogram
from ser_graph.graph.neighbours import pair_similarity

_SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_QUANTILES_OF = 1_000_000  # maximum number of similarities; torch.quantile takes 16 million
_BINS = 60


class NoEdgeError(InputError):
    """Epsilon leaves no edge.

    Attributes:
        emb: [N, D] the embeddings of the clips, for another call: ``build_graph(table, upstream, emb=error.emb)``.
    """

    def __init__(self, message: object = "", emb: Tensor | None = None) -> None:
        super().__init__(message)
        self.emb = emb


class UselessEpsilon(UserWarning):
    """Epsilon leaves almost no clip with a neighbour, or is below the similarity of most pairs."""


def epsilon_of_coverage(edge_index: Tensor, similarity: Tensor, n: int, share: float) -> float:
    """The largest epsilon that leaves at least a share of the clips with a neighbour.

    Args:
        edge_index: [2, E] neighbour -> seed, the edge of every similarity.
        similarity: [E] float32.
        n: number of clips in scope.
        share: wanted share of these clips, above 0.

    Raises:
        InputError: fewer clips have any edge.

    Examples:
        >>> edges = torch.tensor([[1, 0, 0], [0, 1, 2]])
        >>> epsilon = epsilon_of_coverage(edges, torch.tensor([0.75, 0.75, 0.5]), 4, 0.5)
        >>> 0.7499 < epsilon < 0.75
        True
    """
    best = torch.full((n,), -torch.inf).scatter_reduce(0, edge_index[1], similarity, "amax")
    wanted = max(math.ceil(share * n - 1e-9), 1)  # 0.7 * 10 is a little more than 7
    last = best.sort(descending=True).values[wanted - 1]
    if last == -torch.inf:
        most = int((best > -torch.inf).sum())
        raise InputError(
            f"epsilon='coverage:{share:g}' is impossible: only {most} of {n} clips ({most / n:.1%}) have any "
            "neighbour; choose a smaller share, or relax the rules on edges"
        )
    # The next smaller float32: similarities must be above epsilon, and this value keeps the last one.
    return float(torch.nextafter(last, torch.tensor(-torch.inf)))


def edge_measures(edge_index: Tensor, ids: Tensor) -> dict[str, Any]:
    """Edges, and the share of clips in scope with a neighbour; `ids` [N, k] are all ranked neighbours."""
    n = len(ids)
    return {
        "n_in_scope": n,
        "n_edges": edge_index.shape[1],
        "coverage": len(edge_index[1].unique()) / n if n else 0.0,
    }


def similarity_measures(
    unit: Tensor, nearest: Tensor, epsilon: float | None, *, seed: int = 0, n_pairs: int = 200_000
) -> dict[str, Any]:
    """The similarities of nearest neighbours [N, k] (-inf = none), and of random pairs of rows [N, D] of length 1.

    Returns:
        ``similarity_quantiles``, ``similarity_histogram`` and ``pairs_above_epsilon`` of `GraphMeasures`.
    """
    near = nearest[nearest > -torch.inf].double()
    pairs = _random_pairs(unit, n_pairs, seed)
    if not len(near):
        return {"similarity_quantiles": {}, "similarity_histogram": None, "pairs_above_epsilon": 0.0}
    low, high = float(min(near.min(), pairs.min())), float(max(near.max(), pairs.max())) + 1e-9
    some = near
    if len(near) > _QUANTILES_OF:
        some = near[torch.randint(len(near), (_QUANTILES_OF,), generator=torch.Generator().manual_seed(seed))]
    quantiles = some.quantile(torch.tensor(_SHARES, dtype=torch.float64)).tolist()
    return {
        "similarity_quantiles": dict(zip(map(str, _SHARES), quantiles, strict=True)),
        "similarity_histogram": SimilarityHistogram(
            low=low,
            high=high,
            nearest=near.histc(_BINS, low, high).long().tolist(),
            pairs=pairs.histc(_BINS, low, high).long().tolist(),
        ),
        "pairs_above_epsilon": 1.0 if epsilon is None else float((pairs > epsilon).double().mean()),
    }


def _random_pairs(unit: Tensor, n_pairs: int, seed: int) -> Tensor:
    n = len(unit)
    if n < 2:
        return torch.zeros(1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    a = torch.randint(n, (n_pairs,), generator=generator)
    b = (a + torch.randint(1, n, (n_pairs,), generator=generator)) % n
    return pair_similarity(unit, a, b).double()


def _suggestion(quantile: float) -> float:
    """The round number just below a similarity, with more digits if the similarity is close to 1.

    Examples:
        >>> _suggestion(0.948), _suggestion(0.5), _suggestion(0.99962)
        (0.94, 0.49, 0.9996)
    """
    digits = min(max(2, math.ceil(-math.log10(max(1 - quantile, 1e-6)))), 6)
    return max(round((math.ceil(quantile * 10**digits) - 1) / 10**digits, digits), -1.0)


def _proposal(quantiles: Mapping[str, float], n_edges_above: Callable[[float | None], int]) -> str:
    """Another epsilon: one below most of the nearest neighbours, or a smaller one if the rules leave no edge."""
    for share in ("0.25", "0.1", "0.01"):
        epsilon = _suggestion(quantiles[share])
        if n := n_edges_above(epsilon):
            return (
                f"try epsilon={epsilon:g} ({n:,} edges), or None for no threshold ({n_edges_above(None):,} edges)"
            )
    return f"try epsilon=None for no threshold ({n_edges_above(None):,} edges)"


def check_epsilon(measured: GraphMeasures, n_edges_above: Callable[[float | None], int]) -> None:
    """Refuse an epsilon that leaves no edge; warn if it leaves few edges or removes few.

    `n_edges_above` tells the number of edges that another epsilon would leave.

    Raises:
        NoEdgeError: no edge is left. The message proposes an epsilon, and says how many edges it leaves.
    """
    epsilon, quantiles = measured.epsilon, measured.similarity_quantiles
    if epsilon is None or not quantiles:
        return
    seen = (
        f"nearest neighbours have a median similarity of {quantiles['0.5']:.3f} and a 99th percentile of "
        f"{quantiles['0.99']:.3f}; {_proposal(quantiles, n_edges_above)}"
    )
    if measured.n_edges == 0:
        raise NoEdgeError(f"epsilon={epsilon} leaves no edge: {seen}")
    if measured.coverage < 0.1:
        warn(
            f"epsilon={epsilon} leaves only {measured.coverage:.1%} of the clips with a neighbour: {seen}",
            UselessEpsilon,
        )
    elif measured.pairs_above_epsilon > 0.5:
        warn(
            f"epsilon={epsilon} has little effect: {measured.pairs_above_epsilon:.0%} of random pairs are above "
            f"it; {seen}",
            UselessEpsilon,
        )
