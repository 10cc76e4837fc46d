"""Homophily: do edges join equal values? Four measures, each compared with shuffled labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ser_graph.analysis.columns import text_columns
from ser_graph.analysis.permutations import LabelledEdges, labelled_edges, two_sided
from ser_graph.graph.clip_graph import ClipGraph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MEASURES = ("edge", "node", "class_insensitive", "assortativity")
COLUMNS = ("emotion", "speaker", "gender", "sentence")


def homophily(
    data: ClipGraph, columns: Sequence[str] | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How often edges join the same emotion, speaker, gender or sentence, and how often they do by chance.

    Four measures, over edges between clips with a known value:

    - ``edge``: the share of edges that join equal values. It is high in any graph if one value is frequent.
    - ``node``: the share of equal values among the neighbours of each clip, averaged over the clips with neighbours
      (Pei et al. 2020, Geom-GCN). Isolated clips are left out, not counted as 0.
    - ``class_insensitive``: the excess of the share of equal values over the value's share of clips, averaged over
      values, 0 if negative (Lim et al. 2021, "New benchmarks for learning on non-homophilous graphs"). From 0 to 1.
    - ``assortativity``: Newman's coefficient for attributes (Newman 2003): 0 for the configuration model, 1 if
      edges join only equal values.

    Chance is measured: the values are permuted among the clips in scope that have one. The graph does not change,
    so it keeps its degrees, hubs and clusters. The columns are not separated from each other: if every speaker has
    only one emotion, a graph of speakers is also a graph of emotions.

    Args:
        data: the graph.
        columns: text columns of the clip table; by default emotion, speaker, gender and sentence, as far as the
            table has them.
        n_permutations: number of permutations; 0 leaves the values about chance NaN.
        seed: random seed of the permutations.

    Returns:
        One row for each column and measure, indexed by (`column`, `measure`): `value`; `chance`, the mean of the
        permutations; `chance_low` and `chance_high`, which enclose 95 % of the permutations; `p_value`, two-sided.
        NaN if there is nothing to count, or only one value.

    Raises:
        InputError: no such column.

    Examples:
        >>> from ser_graph.graph import build_graph
        >>> import torch
        >>> table = pd.DataFrame({"emotion": ["joy", "joy", "fear", "fear", "fear"], "split": "train"})
        >>> table[["speaker", "gender"]] = None
        >>> emb = torch.tensor([[9.0, 1.0], [9.0, 2.0], [1.0, 9.0], [1.0, 8.0], [7.0, 2.0]])
        >>> data = build_graph(table, emb=emb, x=torch.randn(5, 373, 64), epsilon=None, n_neighbors=1)
        >>> homophily(data, ["emotion"]).loc["emotion", "value"].round(3)
        measure
        edge                 0.600
        node                 0.600
        class_insensitive    0.167
        assortativity        0.167
        Name: value, dtype: float64
    """
    if columns is None:
        columns = [column for column in COLUMNS if column in text_columns(data)]
    rows = {column: _against_chance(labelled_edges(data, column), n_permutations, seed) for column in columns}
    if not rows:
        return pd.DataFrame(columns=["value", "chance", "chance_low", "chance_high", "p_value"], dtype=float)
    return pd.concat(rows, names=["column", "measure"])


def _against_chance(labelled: LabelledEdges, n_permutations: int, seed: int) -> pd.DataFrame:
    value = _measure(labelled, labelled.codes[:, None])
    if n_permutations and len(labelled.source):
        shuffled = labelled.shuffled(n_permutations, seed, width=len(labelled.names))
        chance = np.concatenate([_measure(labelled, codes) for codes in shuffled])
        low, high = np.quantile(chance, [0.025, 0.975], axis=0)
        # For the same labels in another order, the result may differ in the last digit.
        at_least, at_most = (chance >= value - 1e-12).sum(axis=0), (chance <= value + 1e-12).sum(axis=0)
        mean, p_value = chance.mean(axis=0), two_sided(at_least, at_most, n_permutations)
        p_value[np.isnan(value[0])] = np.nan
    else:
        mean, low, high, p_value = np.full((4, len(MEASURES)), np.nan)
    columns = {"value": value[0], "chance": mean, "chance_low": low, "chance_high": high, "p_value": p_value}
    return pd.DataFrame(columns, index=list(MEASURES))


def _measure(labelled: LabelledEdges, codes: np.ndarray) -> np.ndarray:
    """[B, 4] the `MEASURES` for B assignments of labels to clips, [n, B]."""
    (n_clips, n_ways), n_values, n_edges = codes.shape, len(labelled.names), len(labelled.source)
    if n_edges == 0:
        return np.full((n_ways, len(MEASURES)), np.nan)
    ends = np.bincount(labelled.target, minlength=n_clips)
    starts = np.bincount(labelled.source, minlength=n_clips)
    alike = _by_seed(labelled) @ (codes[labelled.target] == codes[labelled.source])  # [n, B] equal neighbours

    # [B, C] numbers of edges of each value: within the value, ending at the value, starting at the value.
    place = (np.arange(n_ways) * n_values + codes).ravel()

    def by_value(numbers: np.ndarray) -> np.ndarray:
        return np.bincount(place, numbers.ravel(), n_ways * n_values).reshape(n_ways, n_values)

    within = by_value(alike)
    ends_at, starts_at = (by_value(np.repeat(degree, n_ways)) for degree in (ends, starts))
    clips = np.bincount(labelled.codes, minlength=n_values)

    edge = within.sum(axis=1) / n_edges
    node = (1 / np.maximum(ends, 1)) @ alike / np.count_nonzero(ends)
    by_degree = (ends_at * starts_at).sum(axis=1) / n_edges**2
    excess = np.maximum(within / np.maximum(ends_at, 1) - clips / n_clips, 0).sum(axis=1)
    several = np.count_nonzero(clips) > 1
    class_insensitive = excess / (np.count_nonzero(clips) - 1) if several else np.full(n_ways, np.nan)
    assortativity = np.divide(edge - by_degree, 1 - by_degree, out=np.full(n_ways, np.nan), where=by_degree < 1)
    return np.stack([edge, node, class_insensitive, assortativity], axis=1)


def _by_seed(labelled: LabelledEdges) -> "csr_array":
    """[n, E] matrix that sums over the edges into each clip."""
    from scipy.sparse import csr_array  # slow to import, and not needed to build a graph

    n, n_edges = len(labelled.codes), len(labelled.source)
    return csr_array((np.ones(n_edges, np.int32), (labelled.target, np.arange(n_edges))), shape=(n, n_edges))
