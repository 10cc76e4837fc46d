"""Embeddings -> nearest neighbours by cosine similarity: exact search in blocks, NN-descent, or faiss."""

import threading
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from ser_graph.audio.mapped import count_read, empty_beside
from ser_graph.common.distributed import ALONE, Processes
from ser_graph.errors import InputError, bad_value
from ser_graph.graph.faiss_search import faiss_candidates
from ser_graph.graph.settings import Search

# The time of exact search grows with N^2 (11 s for 50,000 clips on 2 cores, 44 s for 100,000). The time of
# NN-descent grows with N (3 s for 100,000), after 22 s of compilation in every new process. Both take the same time
# near 73,000 clips, on another machine near 93,000 (docs/scale.md). If compilation runs during embedding, exact
# search, which finds all neighbours, takes at most these 22 s more.
EXACT_BELOW = 80_000
METHODS = get_args(Search)
_BLOCK = 2**26  # similarities in memory at a time: 256 MB
_WIDER = 5  # factor on the candidates of NN-descent and faiss, if rules exclude some near clips


class Neighbours(NamedTuple):
    """The nearest rows of each row, the most similar first, then the smaller id.

    Attributes:
        ids: [N, k] int64, -1 = none.
        similarity: [N, k] float32 cosines, -inf = none.
    """

    ids: Tensor
    similarity: Tensor


def exact_candidates(unit: Tensor, rows: Tensor, k: int, groups: Tensor | None = None) -> Tensor:
    """The candidates for the k nearest neighbours of `rows`, found by comparison with all rows in blocks.

    The float32 products of a block are exact to about 1e-6, and equal clips may differ in the last digit. If the
    k-th similarity of a row is closer than that to its last candidate, the row is compared pair by pair.

    Args:
        unit: [N, D] float32 rows of length 1.
        rows: [R] int64 ids of the seeds.
        k: neighbours wanted.
        groups: [N, G] int64 codes; neighbours must differ in each column; -1 differs from all codes.

    Returns:
        [R, min(k + 9, N)] int64 ids, -1 if the groups leave too few.
    """
    n = len(unit)
    everyone = torch.arange(n)
    wanted = min(k + 1, n)  # + 1: the row itself
    spare = min(wanted + 8, n)
    found = torch.empty(len(rows), spare, dtype=torch.int64)
    size = max(1, min(_BLOCK // max(n, 1), len(rows)))
    products = torch.empty(size, n)  # allocated once for all blocks: a new array each time takes a fifth longer
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        similarity = torch.mm(unit[block], unit.T, out=products[: len(block)])
        similarity = without_kin(similarity, block[:, None], everyone[None], groups)
        values, ids = similarity.topk(spare)
        found[start : start + size] = ids.masked_fill(values == -torch.inf, -1)
        if spare < n:
            too_close = values[:, wanted - 1] - values[:, -1] < 4e-6
            for row in too_close.nonzero()[:, 0].tolist():
                found[start + row] = _in_order(unit, block[row], groups)[:spare]
    return found


def without_kin(similarity: Tensor, a: Tensor, b: Tensor, groups: Tensor | None) -> Tensor:
    """The similarity of pairs (a, b), -inf if a and b have an equal code."""
    if groups is not None:
        for codes in groups.T:
            similarity = similarity.masked_fill((codes[a] == codes[b]) & (codes[b] >= 0), -torch.inf)
    return similarity


def _in_order(unit: Tensor, row: Tensor, groups: Tensor | None) -> Tensor:
    """All ids by descending similarity to one row, then by ascending id; -1 if the groups exclude the pair."""
    ids = torch.arange(len(unit))
    row = row.expand_as(ids)
    similarity = without_kin(pair_similarity(unit, row, ids), row, ids, groups)
    similarity, order = similarity.sort(descending=True, stable=True)
    return order.masked_fill(similarity == -torch.inf, -1)


def nndescent_candidates(unit: Tensor, k: int, seed: int = 0, n_jobs: int | None = None) -> Tensor:
    """[N, >= k] int64 candidates by pynndescent, -1 = none: approximate, for large corpora.

    The row itself may be among them. The result also depends on the number of threads.
    """
    from pynndescent import NNDescent  # its import takes a second, its compilation half a minute

    compile_nndescent().join()
    # k + 1: the row itself is among its neighbours. A wider search costs little and increases the recall: for
    # 100,000 clips, recall@9 is .998 with 20 neighbours, and .992 with 15 in 15 % less time.
    wanted = min(max(k + 1, 20), len(unit))
    index = NNDescent(unit.numpy(), metric="cosine", n_neighbors=wanted, random_state=seed, n_jobs=n_jobs)
    return torch.from_numpy(np.asarray(index.neighbor_graph[0], dtype=np.int64))


_compiling: threading.Thread | None = None


def compile_nndescent() -> threading.Thread:
    """Start to compile pynndescent in a background thread, once per process, and return the thread.

    The compilation depends only on types, so that a few random rows are enough. It mostly runs without Python's
    lock: other work, e.g. embedding clips, continues and loses one core for half a minute.
    """
    global _compiling
    if _compiling is None:
        _compiling = threading.Thread(target=_search_made_up_rows, name="compile NN-descent", daemon=True)
        _compiling.start()
    return _compiling


def _search_made_up_rows() -> None:
    from pynndescent import NNDescent

    rows = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    NNDescent(rows, metric="cosine", n_neighbors=15, random_state=0)


def nearest_neighbours(
    emb: Tensor,
    k: int,
    *,
    method: str = "auto",
    seed: int = 0,
    n_jobs: int | None = None,
    groups: Tensor | None = None,
    processes: Processes = ALONE,
) -> Neighbours:
    """The k most similar other rows of each row; min(k, N - 1) if there are fewer.

    The search finds only candidates. The similarities are computed again for each pair (in float64, rounded to
    float32), so that they do not depend on block sizes, threads or the method.

    Args:
        emb: [N, D] embeddings, finite and not zero; in memory or mapped (`map_array`). If mapped, their scaled copy
            is in a temporary file.
        k: neighbours wanted; fewer if there are fewer other rows.
        method: ``"exact"``, ``"nndescent"``, ``"faiss"`` or ``"auto"`` (exact below `EXACT_BELOW` rows, NN-descent
            from there).
        seed: random seed of NN-descent and faiss.
        n_jobs: number of threads of NN-descent and faiss; None takes all.
        groups: [N, G] int64 codes; neighbours must differ in each column; -1 differs from all codes. NN-descent
            and faiss do not use groups, so they search more candidates. A row with too few candidates is compared
            with all rows.
        processes: the processes that call this function with the same rows; all get the same result. They share the
            search by faiss; the first process alone does the other searches.

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
        return Neighbours(torch.empty(n, 0, dtype=torch.int64), torch.empty(n, 0))
    if resolve_method(method, n) == "faiss":
        return _by_faiss(unit, k, seed, n_jobs, groups, processes)
    if processes.rank == 0:
        found = _in_memory(unit, k, method, seed, n_jobs, groups)
    else:
        found = Neighbours(torch.empty(n, k, dtype=torch.int64), torch.empty(n, k))
    return Neighbours(*map(processes.from_first, found))


def _in_memory(
    unit: Tensor, k: int, method: str, seed: int, n_jobs: int | None, groups: Tensor | None
) -> Neighbours:
    rows = torch.arange(len(unit))
    if resolve_method(method, len(unit)) == "exact":
        return rank(unit, exact_candidates(unit, rows, k, groups), k, groups)
    candidates = nndescent_candidates(unit, _candidates_wanted(k, groups), seed, n_jobs)
    return _ranked_or_compared(unit, rows, candidates, k, groups)


def _by_faiss(
    unit: Tensor, k: int, seed: int, n_jobs: int | None, groups: Tensor | None, processes: Processes
) -> Neighbours:
    """Each process holds its part of the index, and compares the candidates of its share of each block."""
    ids, similarity = torch.empty(len(unit), k, dtype=torch.int64), torch.empty(len(unit), k)
    for rows, candidates in faiss_candidates(unit, _candidates_wanted(k, groups), seed, n_jobs, processes):
        mine = processes.share(len(rows))
        found = _ranked_or_compared(unit, rows[mine], candidates[mine], k, groups)
        ids[rows], similarity[rows] = (processes.gather(one, len(rows)) for one in found)
    return Neighbours(ids, similarity)


def _candidates_wanted(k: int, groups: Tensor | None) -> int:
    return k if groups is None else _WIDER * k


def _ranked_or_compared(
    unit: Tensor, rows: Tensor, candidates: Tensor, k: int, groups: Tensor | None
) -> Neighbours:
    """The best k candidates of some rows; where the groups leave fewer, the best k of all rows."""
    ids, similarity = rank(unit, candidates, k, groups, rows)
    if groups is not None:
        short = (ids < 0).any(dim=1).nonzero()[:, 0]
        if len(short):
            compared = exact_candidates(unit, rows[short], k, groups)
            ids[short], similarity[short] = rank(unit, compared, k, groups, rows[short])
    return Neighbours(ids, similarity)


def resolve_method(method: str, n: int) -> Literal["exact", "nndescent", "faiss"]:
    """The method itself, or for ``"auto"`` the method for this number of rows."""
    if method == "faiss":
        return "faiss"
    exact = n < EXACT_BELOW if method == "auto" else method == "exact"
    return "exact" if exact else "nndescent"


def unit_rows(emb: Tensor) -> Tensor:
    """Rows scaled to length 1, float32; in a temporary file if the embeddings are mapped from a file.

    Raises:
        InputError: a row is zero or not finite, and so has no direction.
    """
    unit, norms = empty_beside(emb), torch.empty(len(emb), dtype=torch.float64)
    for part in _slices(len(emb), 2**14):  # all rows in float64 would take twice the memory of the embeddings
        block = emb[part].double()
        norms[part] = block.norm(dim=1)
        unit[part] = (block / norms[part, None]).float()
        count_read(emb, emb[part].nbytes)
        count_read(unit, unit[part].nbytes)
    bad = ~(torch.isfinite(norms) & (norms > 0))
    if bad.any():
        rows = bad.nonzero()[:, 0].tolist()
        raise InputError(f"Embedding {rows[0]} is zero or not finite ({len(rows)} of {len(emb)}); embed it again")
    return unit


def _slices(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover 0 to `n`."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def pair_similarity(unit: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Cosine similarity of row pairs (a, b): float32, the shape of `a`; equal pairs have equal values."""
    similarity = torch.empty(a.shape, dtype=torch.float32)
    flat, a, b = similarity.view(-1), a.reshape(-1), b.reshape(-1)
    for part in _slices(len(a), 2**11):  # a small slice stays in the processor's cache: 10 times faster than 2**16
        product = unit.index_select(0, a[part]).double()
        product *= unit.index_select(0, b[part])
        flat[part] = product.sum(1).clamp(-1, 1).float()
    return similarity


def rank(
    unit: Tensor, candidates: Tensor, k: int, groups: Tensor | None = None, rows: Tensor | None = None
) -> Neighbours:
    """Candidates [R, m] -> the best k by exact similarity, without -1, the row itself, and repetitions.

    The seeds are `rows` [R], by default all rows; `groups` are those of `nearest_neighbours`.
    """
    ids = candidates.sort(dim=1).values  # by id: the stable sort below keeps this order for equal similarities
    rows = (torch.arange(len(unit)) if rows is None else rows)[:, None].expand_as(ids)
    similarity = pair_similarity(unit, rows, ids.clamp_min(0))
    repeated = torch.zeros_like(ids, dtype=torch.bool)
    repeated[:, 1:] = ids[:, 1:] == ids[:, :-1]
    similarity[(ids < 0) | (ids == rows) | repeated] = -torch.inf
    similarity = without_kin(similarity, rows, ids.clamp_min(0), groups)
    similarity, order = similarity.sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order).masked_fill(similarity == -torch.inf, -1)
    return Neighbours(ids[:, :k], similarity[:, :k])


def sampled_recall(
    emb: Tensor,
    ids: Tensor,
    *,
    sample: int = 500,
    seed: int = 0,
    groups: Tensor | None = None,
) -> float:
    """Share of the true nearest neighbours that a search found, on a random sample of rows.

    A found neighbour that is exactly as similar as the true k-th one counts as found. `ids` [N, k] is the result of
    the search, with its `groups`.
    """
    if ids.shape[1] == 0:
        return 1.0
    unit = unit_rows(emb)
    rows = torch.randperm(len(unit), generator=torch.Generator().manual_seed(seed))[:sample]
    values, best = _nearest_of_sample(unit, rows, ids.shape[1], groups)
    there = values > -torch.inf

    def exact_similarity(others: Tensor) -> Tensor:
        a, b = rows[:, None].expand_as(others), others.clamp_min(0)
        return without_kin(pair_similarity(unit, a, b), a, b, groups)

    kth = exact_similarity(best).masked_fill(~there, torch.inf).min(dim=1).values
    found = ids[rows]
    hits = (exact_similarity(found) >= kth[:, None]) & (found >= 0)
    return int(hits.sum()) / int(there.sum()) if there.any() else 1.0


def _nearest_of_sample(unit: Tensor, rows: Tensor, k: int, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """The k most similar other rows of some rows; reads all rows once, in their order in the file."""
    values = torch.full((len(rows), k), -torch.inf)
    best = torch.zeros(len(rows), k, dtype=torch.int64)
    for part in _slices(len(unit), max(1, _BLOCK // len(rows))):
        block = unit[part]
        others = torch.arange(part.start, part.stop)
        similarity = without_kin(unit[rows] @ block.T, rows[:, None], others[None], groups)
        similarity = similarity.masked_fill(others == rows[:, None], -torch.inf)
        values, order = torch.cat([values, similarity], dim=1).topk(k)
        best = torch.cat([best, others.expand_as(similarity)], dim=1).gather(1, order)
        count_read(unit, block.nbytes)
    return values, best
