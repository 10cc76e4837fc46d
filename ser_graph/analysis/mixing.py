"""Mixing: the number of edges for each pair of values of a column."""

import numpy as np
import pandas as pd

from ser_graph.analysis.permutations import LabelledEdges, labelled_edges, two_sided
from ser_graph.errors import InputError
from ser_graph.graph.clip_graph import ClipGraph

MOST_VALUES = 500
"""Maximum number of values in a table of pairs: a larger table is not readable and does not fit into memory."""


def mixing_table(
    data: ClipGraph, by: str = "emotion", *, n_permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """The number of edges for each pair of values of a seed and its neighbour, compared with chance.

    `expected` comes from the configuration model: neighbours are drawn at random, and every value keeps the number
    of edges that start and end at it, ``starts[neighbour] * ends[seed] / edges`` (Newman 2003, "Mixing patterns in
    networks"). `p_value` is the share of shuffled labels that are at least as far from `expected`, in either
    direction. The labels of the clips in scope are permuted; the graph does not change, so that hubs and clusters
    do not look like preferences. The p-value is not corrected for the number of cells.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`; clips without a value are left out.
        n_permutations: number of permutations; 0 leaves `p_value` NaN.
        seed: random seed of the permutations.

    Returns:
        One row for each pair of values, indexed by (`by`, `neighbour`); ``mixing_table(data)["ratio"].unstack()``
        is a matrix with a row for each value of the seed. Columns: `edges`; `share` of all edges into clips of the
        seed's value; `expected`; `ratio`, observed divided by expected edges; `p_value`. NaN if there is nothing to
        count.

    Raises:
        InputError: no such column, or a column with more than `MOST_VALUES` values.

    Examples:
        >>> from ser_graph.graph import build_graph
        >>> import torch
        >>> table = pd.DataFrame({"emotion": ["joy", "joy", "fear", "fear", "fear"], "split": "train"})
        >>> table[["speaker", "gender"]] = None
        >>> emb = torch.tensor([[9.0, 1.0], [9.0, 2.0], [1.0, 9.0], [1.0, 8.0], [7.0, 2.0]])
        >>> data = build_graph(table, emb=emb, x=torch.randn(5, 373, 64), epsilon=None, n_neighbors=1)
        >>> mixing_table(data)["ratio"].unstack().round(2)
        neighbour  fear   joy
        emotion
        fear       1.11  0.83
        joy        0.83  1.25
    """
    labelled = labelled_edges(data, by)
    n = len(labelled.names)
    if n > MOST_VALUES:
        raise InputError(f"The column {by} has {n:,} values, too many for a table of pairs (at most {MOST_VALUES})")
    edges = _counts(labelled, labelled.codes[:, None])[0]
    expected = _expected(edges[None])[0]
    p_value = _p_values(labelled, edges - expected, n_permutations, seed)
    ends = np.broadcast_to(edges.sum(axis=1, keepdims=True), edges.shape)
    values = pd.Index(labelled.names, dtype=object)
    return pd.DataFrame(
        {
            "edges": edges.ravel(),
            "share": _divide(edges, ends).ravel(),
            "expected": expected.ravel(),
            "ratio": _divide(edges, expected).ravel(),
            "p_value": p_value.ravel(),
        },
        index=pd.MultiIndex.from_product([values, values], names=[by, "neighbour"]),
    )


def _counts(labelled: LabelledEdges, codes: np.ndarray) -> np.ndarray:
    """[B, C, C] edges by the value of seed and neighbour, for B assignments of labels to clips, [n, B]."""
    n, n_ways = len(labelled.names), codes.shape[1]
    cells = (np.arange(n_ways) * n + codes[labelled.target]) * n + codes[labelled.source]
    return np.bincount(cells.ravel(), minlength=n_ways * n * n).reshape(n_ways, n, n)


def _expected(edges: np.ndarray) -> np.ndarray:
    """[B, C, C] edges that the configuration model expects."""
    total = np.maximum(edges.sum(axis=(1, 2), keepdims=True), 1)
    return edges.sum(axis=2, keepdims=True) * edges.sum(axis=1, keepdims=True) / total


def _p_values(labelled: LabelledEdges, excess: np.ndarray, n_permutations: int, seed: int) -> np.ndarray:
    """[C, C] p-values of the differences between observed and expected edges."""
    if n_permutations == 0 or len(labelled.source) == 0:
        return np.full(excess.shape, np.nan)
    at_least, at_most = np.zeros((2, *excess.shape), dtype=np.int64)
    for codes in labelled.shuffled(n_permutations, seed, width=excess.size):
        edges = _counts(labelled, codes)
        by_chance = edges - _expected(edges)
        # For equal counts, the expected counts may differ in the last digit.
        at_least += (by_chance >= excess - 1e-9).sum(axis=0)
        at_most += (by_chance <= excess + 1e-9).sum(axis=0)
    return two_sided(at_least, at_most, n_permutations)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The quotient, NaN where b is 0."""
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)
