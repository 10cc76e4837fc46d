"""Homophily: do edges join equal values? Two measures, each compared with shuffled labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_graph.analysis.columns import usual_columns
from ser_graph.analysis.permutations import LabelledEdges, labelled_edges, two_sided
from ser_graph.graph.clip_graph import ClipGraph

MEASURES = ("edge", "assortativity")


def homophily(
    data: ClipGraph, columns: str | Sequence[str] | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How often edges join the same emotion, speaker, gender or sentence, and how often they do by chance.

    Two measures, over edges between clips with a known value (`torch_geometric.utils.homophily` has others):

    - ``edge``: the share of edges that join equal values. It is high in any graph if one value is frequent.
    - ``assortativity``: Newman's coefficient for attributes (Newman 2003): 0 for the configuration model, 1 if
      edges join only equal values.

    Chance is measured: the values are permuted among the clips in scope that have one. The graph does not change,
    so it keeps its degrees, hubs and clusters. The columns are not separated from each other: if every speaker has
    only one emotion, a graph of speakers is also a graph of emotions.

    Args:
        data: the graph.
        columns: a text column of the clip table, or several; by default emotion, speaker, gender and sentence, as
            far as the table has them.
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
        edge             0.600
        assortativity    0.167
        Name: value, dtype: float64
    """
    columns = usual_columns(data) if columns is None else columns
    columns = [columns] if isinstance(columns, str) else columns
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
    """[B, 2] the `MEASURES` for B assignments of labels to clips, [n, B]."""
    (n_clips, n_ways), n_values, n_edges = codes.shape, len(labelled.names), len(labelled.source)
    if n_edges == 0:
        return np.full((n_ways, len(MEASURES)), np.nan)
    place = (np.arange(n_ways) * n_values + codes).ravel()

    def by_value(ends: np.ndarray) -> np.ndarray:
        """[B, C] the number of edges with this end at a clip of each value."""
        degrees = np.repeat(np.bincount(ends, minlength=n_clips), n_ways)
        return np.bincount(place, degrees, n_ways * n_values).reshape(n_ways, n_values)

    edge = np.count_nonzero(codes[labelled.target] == codes[labelled.source], axis=0) / n_edges
    by_degree = (by_value(labelled.target) * by_value(labelled.source)).sum(axis=1) / n_edges**2
    assortativity = np.divide(edge - by_degree, 1 - by_degree, out=np.full(n_ways, np.nan), where=by_degree < 1)
    return np.stack([edge, assortativity], axis=1)
