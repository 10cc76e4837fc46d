"""Who is joined to whom: edges by the values of a column at both ends."""

import pandas as pd

from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.statistics.columns import column_codes


def mixing_matrix(data: ClipGraph, by: str = "emotion") -> pd.DataFrame:
    """Counts of edges by the value of the seed (rows) and of its neighbour (columns).

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`; clips without a value are left out.

    Raises:
        InputError: no such column.
    """
    names, codes = column_codes(data, by)
    source, target = codes[data.edge_index]
    known = (source >= 0) & (target >= 0)
    cells = (target[known] * len(names) + source[known]).bincount(minlength=len(names) ** 2)
    index = pd.Index(names, name=by)
    return pd.DataFrame(cells.view(len(names), -1).numpy(), index=index, columns=index.rename("neighbour"))
