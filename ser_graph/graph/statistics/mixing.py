"""Who is joined to whom: edges by the values of a column at both ends."""

import pandas as pd

from ser_graph.errors import bad_value
from ser_graph.graph.clip_graph import ClipGraph


def mixing_matrix(data: ClipGraph, column: str = "emotion") -> pd.DataFrame:
    """Counts of edges by the value of the seed (rows) and of its neighbour (columns).

    Args:
        data: the graph.
        column: `emotion`, `speaker` or `gender`; clips without a value are left out.
    """
    if column not in data.meta["names"]:
        raise bad_value("column", column, data.meta["names"])
    names = data.meta["names"][column]
    codes = data.y if column == "emotion" else data[column]
    source, target = codes[data.edge_index]
    known = (source >= 0) & (target >= 0)
    cells = (target[known] * len(names) + source[known]).bincount(minlength=len(names) ** 2)
    index = pd.Index(names, name=column)
    return pd.DataFrame(cells.view(len(names), -1).numpy(), index=index, columns=index.rename("neighbour"))
