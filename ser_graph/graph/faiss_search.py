"""Candidates for neighbours by faiss, an engine for 10^5 to 10^7 clips; the extra `faiss`.

The index is chosen by size. Vectors that are mapped from disk stay there: the index holds short codes of them, and
the caller compares the candidates again with the vectors themselves.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser_graph.audio.mapped import count_read, is_mapped, read_rows
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
    unit: Tensor, k: int, seed: int = 0, n_jobs: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Candidates for the k nearest neighbours of all rows, block by block.

    A block holds rows of the same region, so that its candidates are often the same rows: the processor's cache
    and the system's cache of the file then hold them.

    Args:
        unit: [N, D] float32 rows of length 1, in memory or mapped.
        k: neighbours wanted.
        seed: random seed of the training sample and of k-means.
        n_jobs: number of threads; None takes as many as torch.

    Yields:
        [R] int64 ids of the rows, and [R, >= k] int64 ids of their candidates, -1 = none. The row itself may be
        among them. Each row comes once.

    Raises:
        InputError: faiss is not installed.
    """
    faiss = optional_package("faiss", "faiss")
    faiss.omp_set_num_threads(n_jobs or torch.get_num_threads())
    n, dim = unit.shape
    recipe = index_recipe(n, dim, fits=not is_mapped(unit) and _fits_twice(unit))
    index = faiss.index_factory(dim, recipe)  # by distance, which orders rows of length 1 as the cosine does
    wanted = min(k + 1 + _SPARE if recipe.endswith("Flat") else _WIDER * (k + 1), n)
    ivf = None if recipe == "Flat" else faiss.extract_index_ivf(index)
    if ivf is not None:
        _train(index, ivf, unit, seed)
    for rows in torch.arange(n).split(_BLOCK):
        index.add(read_rows(unit, rows).numpy())
    order = torch.arange(n) if ivf is None else _by_list(faiss, ivf)
    for rows in order.split(_BLOCK):
        found = index.search(read_rows(unit, rows).numpy(), wanted)[1]
        yield rows, torch.from_numpy(found)
        count_read(unit, found.size * unit.shape[1] * unit.itemsize)  # the caller has compared the candidates


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


def _train(index: Any, ivf: Any, unit: Tensor, seed: int) -> None:
    ivf.nprobe = _PROBED
    ivf.cp.niter, ivf.cp.seed = _ROUNDS, seed % 2**31
    chosen = torch.randperm(len(unit), generator=torch.Generator().manual_seed(seed))
    sample = chosen[: _TRAINING_ROWS * ivf.nlist].sort().values
    index.train(read_rows(unit, sample).numpy())


def _by_list(faiss: Any, ivf: Any) -> Tensor:
    """[N] ids of all rows, list by list."""
    lists = ivf.invlists
    sizes = [lists.list_size(one) for one in range(ivf.nlist)]
    ids = [faiss.rev_swig_ptr(lists.get_ids(one), size) for one, size in enumerate(sizes) if size]
    return torch.from_numpy(np.concatenate(ids).astype(np.int64))
