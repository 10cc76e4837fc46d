"""Embeddings -> nearest neighbours by cosine similarity: exactly in blocks, or by NN-descent."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ser_graph.errors import InputError, bad_value

# Exact search costs N^2 (0.3 s for 9,365 clips, 8.6 s for 50,000 on 2 cores), NN-descent N plus about 20 s of
# compilation in every new process: they meet near 75,000 clips.
EXACT_BELOW = 75_000
METHODS = ("auto", "exact", "nndescent")
_BLOCK = 2**26  # similarities held at a time: 256 MB


class NeighbourSearch(Protocol):
    """Finds the candidates: anything that returns, for each row, the ids of about its k nearest others."""

    def __call__(self, unit: Tensor, k: int) -> Tensor:
        """Search.

        Args:
            unit: [N, D] float32 rows of length 1.
            k: neighbours wanted for each row.

        Returns:
            [N, >= k] int64 ids; -1 where none was found. The row itself may be among them.
        """


def exact_search(unit: Tensor, k: int) -> Tensor:
    """Candidates by comparing every pair; see `NeighbourSearch`."""
    everyone = torch.arange(len(unit))
    return exact_candidates(unit, everyone, everyone, k)


def exact_candidates(unit: Tensor, rows: Tensor, columns: Tensor, k: int) -> Tensor:
    """The ids among `columns` that can be among the k nearest of each of `rows`, compared in blocks.

    float32 products of a block are only good to about 1e-6, and equal clips may differ in the last digit.
    Rows whose k-th place is closer than that to the last candidate are decided pair by pair.

    Args:
        unit: [N, D] float32 rows of length 1.
        rows: [R] int64 ids of the seeds.
        columns: [C] int64 ids of the possible neighbours, ascending.
        k: neighbours wanted.

    Returns:
        [R, min(k + 9, C)] int64 ids.
    """
    wanted = min(k + 1, len(columns))  # + 1: the row itself
    spare = min(wanted + 8, len(columns))
    found = torch.empty(len(rows), spare, dtype=torch.int64)
    size = max(1, _BLOCK // max(len(columns), 1))
    others = unit[columns].T
    for start in range(0, len(rows), size):
        values, places = (unit[rows[start : start + size]] @ others).topk(spare)
        found[start : start + size] = columns[places]
        if spare < len(columns):
            too_close = values[:, wanted - 1] - values[:, -1] < 4e-6
            for row in too_close.nonzero()[:, 0].tolist():
                found[start + row] = _in_order(unit, rows[start + row], columns)[:spare]
    return found


def _in_order(unit: Tensor, row: Tensor, columns: Tensor) -> Tensor:
    """`columns` by descending similarity to one row, equal ones by ascending id."""
    similarity = pair_similarity(unit, row.expand_as(columns), columns)
    return columns[similarity.argsort(descending=True, stable=True)]


class NNDescent:
    """Candidates by pynndescent: approximate, for large corpora.

    Args:
        seed: of the random initialisation. The result also depends on the number of threads.
        n_jobs: threads; None takes all.
    """

    def __init__(self, seed: int = 0, n_jobs: int | None = None) -> None:
        self.seed = seed
        self.n_jobs = n_jobs

    def __call__(self, unit: Tensor, k: int) -> Tensor:
        """Search; see `NeighbourSearch`."""
        from pynndescent import NNDescent as Index  # importing and compiling it takes seconds

        # k + 1: the row itself is among its neighbours. A wider search than asked for costs little, and its
        # best k are found more surely.
        wanted = min(max(k + 1, 15), len(unit))
        index = Index(unit.numpy(), metric="cosine", n_neighbors=wanted, random_state=self.seed, n_jobs=self.n_jobs)
        return torch.from_numpy(np.asarray(index.neighbor_graph[0], dtype=np.int64))


def nearest_neighbours(
    emb: Tensor, k: int, *, method: str = "auto", seed: int = 0, n_jobs: int | None = None
) -> tuple[Tensor, Tensor]:
    """The k most similar other rows of each row.

    Whatever finds the candidates, the similarities are computed anew from the pairs (in float64, rounded to
    float32), so that they do not depend on block sizes, threads or the method.

    Args:
        emb: [N, D] embeddings, finite and not zero.
        k: neighbours wanted; fewer are found where there are fewer other rows.
        method: ``"exact"``, ``"nndescent"`` or ``"auto"`` (exact below `EXACT_BELOW` rows).
        seed: of NN-descent.
        n_jobs: threads of NN-descent; None takes all.

    Returns:
        ids [N, min(k, N - 1)] int64 and similarities of the same shape, float32; by descending similarity,
        equal ones by ascending id. Where a search found too few, id -1 and similarity -inf at the end.

    Examples:
        >>> emb = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> ids, similarities = nearest_neighbours(emb, k=1)
        >>> ids.tolist()
        [[1], [0], [1]]
    """
    if method not in METHODS:
        raise bad_value("neighbour search method", method, METHODS)
    if k < 1:
        raise InputError(f"Bad number of neighbours {k}, expected at least 1")
    unit = unit_rows(emb)
    n = len(unit)
    k = min(k, max(n - 1, 0))
    if k == 0:
        return torch.empty(n, 0, dtype=torch.int64), torch.empty(n, 0)
    search: NeighbourSearch = exact_search
    if resolve_method(method, n) == "nndescent":
        search = NNDescent(seed, n_jobs)
    return rank(unit, search(unit, k), k)


def resolve_method(method: str, n: int) -> str:
    """The method that ``"auto"`` stands for at this number of rows."""
    if method != "auto":
        return method
    return "exact" if n < EXACT_BELOW else "nndescent"


def unit_rows(emb: Tensor) -> Tensor:
    """Rows scaled to length 1, float32.

    Raises:
        InputError: a row is zero or not finite; it has no direction.
    """
    norms = emb.double().norm(dim=1)
    bad = ~(torch.isfinite(norms) & (norms > 0))
    if bad.any():
        rows = bad.nonzero()[:, 0].tolist()
        raise InputError(f"Embedding {rows[0]} is zero or not finite ({len(rows)} of {len(emb)}); embed it anew")
    return (emb.double() / norms[:, None]).float()


def pair_similarity(unit: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of row pairs (a, b): float32, shaped like `a`, the same wherever a pair stands."""
    similarity = torch.empty(a.shape, dtype=torch.float32)
    flat, a, b = similarity.view(-1), a.reshape(-1), b.reshape(-1)
    for start in range(0, len(a), 2**16):
        part = slice(start, start + 2**16)
        flat[part] = (unit[a[part]].double() * unit[b[part]].double()).sum(1).clamp(-1, 1).float()
    return similarity


def rank(unit: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Candidates [N, m] -> the best k by exact similarity, without -1, the row itself, and repetitions."""
    ids = candidates.sort(dim=1).values  # by id, so that the stable sort below breaks ties by it
    rows = torch.arange(len(unit))[:, None].expand_as(ids)
    similarity = pair_similarity(unit, rows, ids.clamp_min(0))
    repeated = torch.zeros_like(ids, dtype=torch.bool)
    repeated[:, 1:] = ids[:, 1:] == ids[:, :-1]
    similarity[(ids < 0) | (ids == rows) | repeated] = -torch.inf
    similarity, order = similarity.sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order).masked_fill(similarity == -torch.inf, -1)
    return ids[:, :k], similarity[:, :k]


def sampled_recall(emb: Tensor, ids: Tensor, *, sample: int = 500, seed: int = 0) -> float:
    """Share of the true nearest neighbours that a search found, on a random sample of rows.

    A found neighbour that is exactly as similar as the true k-th one counts as found.

    Args:
        emb: [N, D] embeddings.
        ids: [N, k] what the search found, -1 for none.
        sample: rows to compare against exact search.
        seed: of the sample.
    """
    if ids.shape[1] == 0:
        return 1.0
    unit = unit_rows(emb)
    rows = torch.randperm(len(unit), generator=torch.Generator().manual_seed(seed))[:sample]
    best = (unit[rows] @ unit.T).scatter_(1, rows[:, None], -torch.inf).topk(ids.shape[1]).indices
    kth = pair_similarity(unit, rows[:, None].expand_as(best), best).min(dim=1).values
    found = ids[rows]
    similarity = pair_similarity(unit, rows[:, None].expand_as(found), found.clamp_min(0))
    return float(((similarity >= kth[:, None]) & (found >= 0)).double().mean())
