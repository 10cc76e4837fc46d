"""Is like joined to like? Four measures, each against the same labels shuffled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.statistics.columns import text_columns
from ser_graph.graph.statistics.permutations import LabelledEdges, labelled_edges, two_sided

MEASURES = ("edge", "node", "class_insensitive", "assortativity")
COLUMNS = ("emotion", "speaker", "gender", "sentence")


def homophily(
    data: ClipGraph, columns: Sequence[str] | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """How much clips of the same emotion, speaker, gender or sentence are joined, and how much by chance.

    Four measures, over edges between clips of known value:

    - ``edge``: the share of edges that join equal values. High by itself where one value is frequent.
    - ``node``: the same share of each clip's neighbours, averaged over the clips that have neighbours
      (Pei et al. 2020, Geom-GCN); isolated clips are left out, not counted as 0.
    - ``class_insensitive``: by how much the share exceeds the value's share of clips, averaged over values,
      0 where it does not (Lim et al. 2021, "New benchmarks for learning on non-homophilous graphs"). From 0 to 1.
    - ``assortativity``: Newman's coefficient for attributes (Newman 2003): 0 for the configuration model, 1 if
      only equal values are joined.

    Chance is measured: the values are permuted among the clips in scope that have one, and the graph stays as it
    is, with its degrees, hubs and clusters.

    Args:
        data: the graph.
        columns: text columns of the clip table; by default those of emotion, speaker, gender and sentence that
            it has.
        n_permutations: 0 leaves what is said about chance NaN.
        seed: of the permutations.

    Returns:
        A row for each column and measure, indexed by (`column`, `measure`): `value`; `chance`, the mean of the
        permutations; `chance_low` and `chance_high`, between which 95 % of them lie; `p_value`, two-sided. NaN
        where there is nothing to count, or only one value.

    Raises:
        InputError: no such column.
    """
    if columns is None:
        columns = [column for column in COLUMNS if column in text_columns(data)]
    rows = {column: _against_chance(labelled_edges(data, column), n_permutations, seed) for column in columns}
    if not rows:
        return pd.DataFrame(columns=["value", "chance", "chance_low", "chance_high", "p_value"], dtype=float)
    return pd.concat(rows, names=["column", "measure"])


def _against_chance(labelled: LabelledEdges, n_permutations: int, seed: int) -> pd.DataFrame:
    value = _measure(labelled, labelled.codes[None])
    if n_permutations and len(labelled.source):
        shuffled = labelled.shuffled(n_permutations, seed, width=len(labelled.names))
        chance = np.concatenate([_measure(labelled, codes) for codes in shuffled])
        low, high = np.quantile(chance, [0.025, 0.975], axis=0)
        # The same labels in another order may differ in the last digit.
        at_least, at_most = (chance >= value - 1e-12).sum(axis=0), (chance <= value + 1e-12).sum(axis=0)
        mean, p_value = chance.mean(axis=0), two_sided(at_least, at_most, n_permutations)
        p_value[np.isnan(value[0])] = np.nan
    else:
        mean, low, high, p_value = np.full((4, len(MEASURES)), np.nan)
    columns = {"value": value[0], "chance": mean, "chance_low": low, "chance_high": high, "p_value": p_value}
    return pd.DataFrame(columns, index=list(MEASURES))


def _measure(labelled: LabelledEdges, codes: np.ndarray) -> np.ndarray:
    """[B, 4] the `MEASURES` for B ways [B, n] to label the clips."""
    n_edges, (n_ways, n_clips), n_values = len(labelled.source), codes.shape, len(labelled.names)
    if n_edges == 0:
        return np.full((n_ways, len(MEASURES)), np.nan)
    ends = np.bincount(labelled.target, minlength=n_clips)
    starts = np.bincount(labelled.source, minlength=n_clips)
    at_seed = codes[:, labelled.target]
    same = at_seed == codes[:, labelled.source]
    per_clip = 1 / ends[labelled.target] / (ends > 0).sum()

    # [B, C] sums by value: of edges within it, of edges that end and that start at it, of its clips.
    way = np.arange(n_ways)[:, None] * n_values
    size = n_ways * n_values
    within = np.bincount((way + at_seed)[same], minlength=size).reshape(n_ways, n_values)
    place = (way + codes).ravel()
    ends_at = np.bincount(place, np.tile(ends, n_ways), size).reshape(n_ways, n_values)
    starts_at = np.bincount(place, np.tile(starts, n_ways), size).reshape(n_ways, n_values)
    clips = np.bincount(labelled.codes, minlength=n_values)

    edge = within.sum(axis=1) / n_edges
    node = same @ per_clip
    by_degree = (ends_at * starts_at).sum(axis=1) / n_edges**2
    excess = np.maximum(within / np.maximum(ends_at, 1) - clips / n_clips, 0).sum(axis=1)
    present = np.count_nonzero(clips)
    class_insensitive = excess / (present - 1) if present > 1 else np.full(n_ways, np.nan)
    assortativity = np.divide(edge - by_degree, 1 - by_degree, out=np.full(n_ways, np.nan), where=by_degree < 1)
    return np.stack([edge, node, class_insensitive, assortativity], axis=1)
