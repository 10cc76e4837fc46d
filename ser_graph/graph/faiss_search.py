"""Candidates for neighbours by faiss, an engine for 10^5 to 10^7 clips; the extra `faiss`.

The index is chosen by size. Vectors that are mapped from disk stay there: the index holds short codes of them, and
the caller compares the candidates again with the vectors themselves.

Several processes share one index: each holds the codes of its rows and searches among them for all rows. Then the
processes exchange what they found.
"""

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ser_graph.audio.mapped import count_read, is_mapped, read_rows
from ser_graph.common.distributed import ALONE, Processes
from ser_graph.common.extras import optional_package

_FLAT_BELOW = 20_000  # rows; below, a comparison with all rows takes a second and misses nothing
_CODED_DIMENSIONS = 64  # of a code: 14 to 20 dimensions carry the differences between clips
_LISTS = 8  # times the root of the number of rows
_PROBED = 32  # lists searched for each row
_TRAINING_ROWS = 40  # per list; faiss warns below 39
_ROUNDS = 10  # of k-means: further rounds change recall by less than .002
_WIDER = 4  # factor on the candidates if the index holds codes; the exact comparison picks the best
_SPARE = 8  # candidates beyond k, because the index cannot order near ties
_BLOCK = 2**15  # rows added or searched at a time


def faiss_candidates(
    unit: Tensor, k: int, seed: int = 0, n_jobs: int | None = None, group: Processes = ALONE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Candidates for the k nearest neighbours of all rows, block by block.

    A block holds rows of the same region, so that its candidates are often the same rows: the processor's cache
    and the system's cache of the file then hold them.

    Args:
        unit: [N, D] float32 rows of length 1, in memory or mapped.
        k: neighbours wanted.
        seed: random seed of the training sample and of k-means.
        n_jobs: number of threads; None takes as many as torch.
        group: the processes that search together. Each calls with the same rows, and gets the same blocks.

    Yields:
        [R] int64 ids of the rows, and [R, >= k] int64 ids of their candidates, -1 = none. The row itself may be
        among them. Each row comes once.

    Raises:
        InputError: faiss is not installed, or there are more processes than rows.
    """
    faiss = optional_package("faiss", "faiss")
    faiss.omp_set_num_threads(n_jobs or torch.get_num_threads())
    n, dim = unit.shape
    group.check_enough(n, "clips of a neighbour search")
    recipe = index_recipe(n, dim, fits=group.of_first(not is_mapped(unit) and _fits_twice(unit)))
    wanted = min(k + 1 + _SPARE if recipe.endswith("Flat") else _WIDER * (k + 1), n)
    index = _trained(faiss, recipe, unit, seed, group)
    share = group.share(n)
    for rows in torch.arange(share.start, share.stop).split(_BLOCK):
        index.add(read_rows(unit, rows).numpy())
    for rows in _by_list(faiss, index, n, group).split(_BLOCK):
        found = _search(faiss, index, read_rows(unit, rows), wanted, share.start, group)
        yield rows, found
        count_read(unit, found.numel() * dim * unit.itemsize)  # the caller has compared the candidates


def index_recipe(n: int, dim: int, *, fits: bool) -> str:
    """The name of the index for faiss's ``index_factory``.

    Args:
        n: number of rows.
        dim: their dimensions.
        fits: whether the index may hold a copy of the rows.

    Examples:
        >>> index_recipe(9_365, 256, fits=True)
        'Flat'
        >>> index_recipe(1_000_000, 256, fits=True)
        'IVF8000,Flat'
        >>> index_recipe(10_000_000, 256, fits=False)
        'PCA64,IVF25298,SQ8'
    """
    if n < _FLAT_BELOW:
        return "Flat"
    lists = f"IVF{int(_LISTS * n**0.5)}"
    if fits:
        return f"{lists},Flat"
    return f"PCA{_CODED_DIMENSIONS},{lists},SQ8" if dim > _CODED_DIMENSIONS else f"{lists},SQ8"


def _fits_twice(unit: Tensor) -> bool:
    """Whether a copy of the rows takes at most a fifth of the machine's memory; other copies exist already."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return True
    return unit.nbytes <= memory / 5


def _trained(faiss: Any, recipe: str, unit: Tensor, seed: int, group: Processes) -> Any:
    """An empty index. The first process trains it, because k-means depends on the number of threads."""
    index = faiss.index_factory(unit.shape[1], recipe)  # by distance: as the cosine, for rows of length 1
    if recipe == "Flat":
        return index
    if group.rank == 0:
        ivf = faiss.extract_index_ivf(index)
        ivf.cp.niter, ivf.cp.seed = _ROUNDS, seed % 2**31
        chosen = torch.randperm(len(unit), generator=torch.Generator().manual_seed(seed))
        sample = chosen[: _TRAINING_ROWS * ivf.nlist].sort().values
        index.train(read_rows(unit, sample).numpy())
    if group.alone:
        return index
    stored = torch.from_numpy(faiss.serialize_index(index))
    size = int(group.from_first(torch.tensor(len(stored))))
    stored = group.from_first(stored if group.rank == 0 else torch.empty(size, dtype=torch.uint8))
    return faiss.deserialize_index(stored.numpy())


def _by_list(faiss: Any, index: Any, n: int, group: Processes) -> Tensor:
    """[N] ids of all rows, those of the first list first."""
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is None:
        return torch.arange(n)
    list_of = torch.empty(ivf.ntotal, dtype=torch.int64)
    for one in range(ivf.nlist):
        if size := ivf.invlists.list_size(one):
            list_of[torch.from_numpy(faiss.rev_swig_ptr(ivf.invlists.get_ids(one), size))] = one
    return group.gather(list_of, n).argsort(stable=True)


def _search(faiss: Any, index: Any, queries: Tensor, wanted: int, start: int, group: Processes) -> Tensor:
    """[R, wanted] int64 ids of the rows that are the nearest by the index, -1 = none.

    The index of this process holds the rows from `start`.
    """
    ivf, vectors = faiss.try_extract_index_ivf(index), queries.numpy()
    if ivf is None:
        distance, found = map(torch.from_numpy, index.search(vectors, wanted))
    else:
        if isinstance(index, faiss.IndexPreTransform):
            vectors = index.chain.at(0).apply(vectors)
        # To find the lists near a row costs more than to search them, so that each process does it for some rows.
        near = ivf.quantizer.search(vectors[group.share(len(vectors))], min(_PROBED, ivf.nlist))
        list_distance, lists = (group.gather(torch.from_numpy(one), len(vectors)).numpy() for one in near)
        ivf.nprobe = lists.shape[1]
        distance, found = map(torch.from_numpy, ivf.search_preassigned(vectors, wanted, lists, list_distance))
    if group.alone:
        return found
    found = found.where(found < 0, found + start)
    distance, found = (group.gather(one[None], group.size).movedim(0, 1).flatten(1) for one in (distance, found))
    return found.gather(1, distance.topk(wanted, largest=False).indices)
