"""The graph -> the place of every clip on the map."""

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.spatial import KDTree
from torch import Tensor

from ser_graph.common.progress import progress_bar
from ser_graph.graph import ClipGraph
from ser_graph.graph.neighbours import nearest_neighbours

_NEIGHBOURS = 15
_STEPS = 200
_STEPS_APART = 40
_OTHERS = 5  # clips that push each clip away in a step


def graph_layout(data: ClipGraph, seed: int = 0) -> np.ndarray:
    """A place in the plane for every clip. Clips that are close together have similar embeddings.

    The training graph contains only what a student can learn from: few edges, above epsilon, none into dev and
    test. The map shows everything. It joins every clip to its 15 nearest neighbours, in any split and with any
    similarity, so that a clip without an edge has a place too. Edges attract and random other clips repel, as in
    UMAP (McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426; with a = b = 1, and all clips moved at
    once). The start is the first two principal components. In the end, clips that cover one another are moved
    apart. On such a map, groups and neighbours are meaningful. Directions, sizes of groups, and distances between
    groups mean little.

    The layout is computed once for a graph and a seed and kept with the graph. It is the same in every run. 10,000
    clips take about 6 s (`benchmarks/layout.py`).

    Args:
        data: the graph; only its `emb` counts. A clip whose embedding is zero or not finite is not similar to any
            clip; it is put into the lower left corner.
        seed: random seed of the choice of clips that repel.

    Returns:
        [N, 2] float32 from -1 to 1, one row per node; read-only.
    """
    kept = data.__dict__.setdefault("_layouts", {})  # beside `_table`, outside PyG's attributes
    emb, places = kept.get(seed, (None, None))
    if emb is not data.emb:  # a subgraph, or new embeddings
        places = _layout(data.emb, seed)
        places.setflags(write=False)
        kept[seed] = data.emb, places
    return places


def second_layout(emb: Tensor, places: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places by other embeddings [N, F] of the same clips, turned or mirrored to be near their first places [N, 2].

    Directions on a map mean nothing; so two maps can be compared at sight.
    """
    others = _layout(emb, seed).astype(float)
    first, second = places - places.mean(0), others - others.mean(0)
    left, _, right = np.linalg.svd(second.T @ first)  # orthogonal Procrustes
    return _fitted(second @ left @ right).astype(np.float32)


def _layout(emb: Tensor, seed: int) -> np.ndarray:
    norms = emb.double().norm(dim=1)
    usable = (torch.isfinite(norms) & (norms > 0)).numpy()
    places = np.full((len(emb), 2), -1.0, dtype=np.float32)
    if usable.any():
        unit = (emb[usable].double() / norms[usable, None]).float()
        moved = _moved(_first_places(unit, seed), _pulls(unit, seed), seed)
        places[usable] = _fitted(_apart(_fitted(moved)))
    return places


def _pulls(unit: Tensor, seed: int) -> csr_array:
    """[N, N] strength of the attraction between clips: 1 for the nearest, less for others, symmetric.

    As in UMAP, but the scale of a clip is the mean distance of its neighbours.
    """
    n = len(unit)
    ids, similarity = nearest_neighbours(unit, _NEIGHBOURS, seed=seed)
    if ids.shape[1] == 0:
        return csr_array((n, n))
    similarity = similarity.clamp_min(-1)  # -inf if a search found too few
    distance = (similarity[:, :1] - similarity).double().numpy()
    strength = np.exp(-distance / np.maximum(distance.mean(1, keepdims=True), 1e-6))
    found = (ids >= 0).numpy()
    one_way = csr_array((strength[found], (np.nonzero(found)[0], ids.numpy()[found])), shape=(n, n))
    return csr_array(one_way + one_way.T - one_way * one_way.T)


def _first_places(unit: Tensor, seed: int) -> np.ndarray:
    """[N, 2] the first two principal components, from -10 to 10; equal clips are moved a little apart."""
    centred = (unit - unit.mean(0)).double().numpy()
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, -2:]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # arbitrary signs otherwise
    places = np.zeros((len(unit), 2))
    places[:, : axes.shape[1]] = centred @ axes
    places = 10 * places / max(np.abs(places).max(), 1e-6)
    # Rounded, because the last digits of a product depend on the number of threads.
    return places.round(6) + np.random.default_rng(seed).normal(0, 0.01, places.shape)


def _moved(places: np.ndarray, pulls: csr_array, seed: int) -> np.ndarray:
    """Places after all steps. With the kernel 1 / (1 + d^2), the gradients are those of UMAP's cross entropy."""
    n = len(places)
    rng = np.random.default_rng(seed)
    rows, columns = pulls.nonzero()
    total = pulls.sum(axis=1)[:, None]
    for step in progress_bar(range(_STEPS), desc="layout", unit="step", delay=2, leave=False):
        squares = np.square(places[rows] - places[columns]).sum(1)
        pull = csr_array((2 * pulls.data / (1 + squares), pulls.indices, pulls.indptr), shape=(n, n))
        move = pull @ places - pull.sum(axis=1)[:, None] * places
        for others in rng.integers(n, size=(_OTHERS, n)):
            away = places - places[others]
            squares = np.square(away).sum(1, keepdims=True)
            move += total * np.clip(2 * away / ((0.001 + squares) * (1 + squares)), -4, 4)
        places = places + 0.25 * (1 - step / _STEPS) * np.clip(move, -4, 4)
    return places


def _apart(places: np.ndarray) -> np.ndarray:
    """Places within [-1, 1] where no clip covers another: the clips of a tight group fill a disc."""
    n = len(places)
    if n < 2:
        return places
    room = 0.7 / np.sqrt(n)  # all clips fit, with a third of the square left
    for _ in range(_STEPS_APART):
        distance, near = KDTree(places).query(places, k=range(2, min(n, 9) + 1))  # the first is the clip itself
        push = np.maximum(room - distance, 0) / np.maximum(distance, 1e-9)
        places = places + 0.3 * (push[:, :, None] * (places[:, None] - places[near])).sum(1)
    return places


def _fitted(places: np.ndarray) -> np.ndarray:
    """Places moved and scaled (by the same factor in both directions) to the range from -1 to 1."""
    low, high = places.min(0), places.max(0)
    return (places - (low + high) / 2) / max((high - low).max() / 2, 1e-9)
