"""Leakage: speakers, sentences, recordings and edges that two splits share."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ser_graph.analysis.columns import column_codes, text_columns
from ser_graph.analysis.duplicates import near_duplicates
from ser_graph.corpora.vocabulary import SPLITS
from ser_graph.graph.clip_graph import ClipGraph


def leakage(data: ClipGraph, *, duplicates: pd.DataFrame | None = None) -> pd.DataFrame:
    """What each pair of splits shares.

    Shared speakers, recordings and edges make test results too good. Shared sentences are normal if actors speak a
    fixed list of sentences; results then hold for these sentences only.

    Args:
        data: the graph.
        duplicates: the result of `near_duplicates`, to avoid a second search; its pairs across splits are leaks.

    Returns:
        One row for each pair of train, dev and test that have clips, indexed by (`split`, `other`):
        `shared_speakers` and `shared_sentences`, NaN if none is known; `identical` and `near_identical`, numbers of
        pairs of clips (the second without the first); `edges` between the splits, in either direction.
    """
    duplicates = near_duplicates(data) if duplicates is None else duplicates
    names, codes = column_codes(data, "split")
    source, target = codes[data.edge_index].numpy()
    rows = {}
    for first, second in combinations([split for split in SPLITS if split in names], 2):
        a, b = names.index(first), names.index(second)
        pairs = duplicates[_between(duplicates["split"], duplicates["other_split"], first, second)]
        rows[first, second] = {
            "shared_speakers": _shared(data, "speaker", codes.numpy(), a, b),
            "shared_sentences": _shared(data, "sentence", codes.numpy(), a, b),
            "identical": int(pairs["identical"].sum()),
            "near_identical": int((~pairs["identical"]).sum()),
            "edges": int(_between(source, target, a, b).sum()),
        }
    columns = ["shared_speakers", "shared_sentences", "identical", "near_identical", "edges"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["split", "other"]) if rows else None
    return pd.DataFrame(list(rows.values()), columns=columns, index=index)


def _between(source: Any, target: Any, a: object, b: object) -> Any:
    """Whether each pair has one end in `a` and the other in `b`."""
    return ((source == a) & (target == b)) | ((source == b) & (target == a))


def _shared(data: ClipGraph, column: str, splits: np.ndarray, a: int, b: int) -> float:
    if column not in text_columns(data):
        return np.nan
    values = column_codes(data, column)[1].numpy()
    if not (values >= 0).any():
        return np.nan
    return len(set(values[splits == a]) & set(values[splits == b]) - {-1})
