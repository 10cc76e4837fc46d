"""Chance by permutation: the labels of the clips are shuffled, and the graph does not change."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ser_graph.analysis.columns import column_codes
from ser_graph.analysis.statistics import nodes_in_scope
from ser_graph.graph.clip_graph import ClipGraph

_BLOCK = 2**22  # labels of edges, or other numbers, in memory at a time


@dataclass(frozen=True)
class LabelledEdges:
    """The clips in scope with a known value, and the edges among them.

    Attributes:
        names: the C values.
        codes: [n] int64 code of each clip, in the order of the clip table.
        source: [E] int64 the neighbour of each edge, as an index of the n clips; likewise `target`, its seed.
    """

    names: list[str]
    codes: np.ndarray
    source: np.ndarray
    target: np.ndarray

    def shuffled(self, n_permutations: int, seed: int, *, width: int = 1) -> Iterator[np.ndarray]:
        """The codes permuted among the n clips, in blocks [n, B].

        Every clip keeps its edges, so degrees, hubs and clusters stay the same. Every value keeps its number of
        clips. Only the assignment of values to clips changes. `width`, how many numbers the caller stores per
        permutation, limits the size of the blocks.
        """
        rng = np.random.default_rng(seed)
        codes = self.codes.astype(np.min_scalar_type(len(self.names)))  # a small type, to save memory traffic
        size = max(1, _BLOCK // max(len(self.source), len(codes), width))
        for start in range(0, n_permutations, size):
            block = np.tile(codes, (min(size, n_permutations - start), 1))
            # One row per clip: its B codes are contiguous, and edges look up whole rows.
            yield np.ascontiguousarray(rng.permuted(block, axis=1).T)


def labelled_edges(data: ClipGraph, by: str) -> LabelledEdges:
    """The known values of a column and the edges among them; see `LabelledEdges`."""
    names, codes = column_codes(data, by)
    known = (codes >= 0) & nodes_in_scope(data)
    edges = data.edge_index[:, known[data.edge_index].all(dim=0)]
    source, target = (known.cumsum(0) - 1)[edges].numpy()
    return LabelledEdges(names, codes[known].numpy(), source, target)


def two_sided(at_least: np.ndarray, at_most: np.ndarray, n_permutations: int) -> np.ndarray:
    """p-values from the numbers of permutations with a value at least, and at most, as large as observed.

    The observed labels count as one of the permutations (Phipson and Smyth 2010), so that p is never 0.

    Examples:
        >>> two_sided(np.array([0, 49, 99]), np.array([99, 60, 99]), 99)
        array([0.02, 1. , 1. ])
    """
    return np.minimum(1.0, 2 * (np.minimum(at_least, at_most) + 1) / (n_permutations + 1))
