"""Every emotion, or other value of a column, as a graph of its own."""

import networkx as nx
import numpy as np
import pandas as pd

from ser_graph.analysis.columns import column_codes
from ser_graph.analysis.convert import undirected
from ser_graph.analysis.whole import average_clustering, density, nodes_in_scope
from ser_graph.graph.clip_graph import ClipGraph


def subgraph_statistics(data: ClipGraph, by: str = "emotion") -> pd.DataFrame:
    """The key figures of the graph among the clips of each value.

    Args:
        data: the graph.
        by: a text column of the clip table, see `column_codes`.

    Returns:
        One row for each value, indexed by the value, over the clips in scope:

        - `clips`, and `coverage`, the share of clips with a neighbour of any value;
        - `edges` among these clips, and `density`, `components` (isolated clips count) and `clustering` of their
          subgraph, as in `graph_statistics`;
        - `internal_share`: of all edges into these clips from a clip with a known value, the share from the same
          value;
        - `internal_chance`: this share for neighbours drawn at random from the other clips with a known value.

        NaN if there is nothing to count.

    Raises:
        InputError: no such column.
    """
    names, codes = column_codes(data, by)
    inside = nodes_in_scope(data)
    source, target = codes[data.edge_index]
    covered = data.degrees() > 0
    known = int(((codes >= 0) & inside).sum())
    rows = []
    for code in range(len(names)):
        clips = (codes == code) & inside
        n = int(clips.sum())
        into, within = (target == code) & (source >= 0), (target == code) & (source == code)
        graph = undirected(data, clips)
        rows.append(
            {
                "clips": n,
                "coverage": _ratio(int((covered & clips).sum()), n),
                "edges": int(within.sum()),
                "density": density(int(within.sum()), n),
                "components": nx.number_connected_components(graph),
                "clustering": average_clustering(graph),
                "internal_share": _ratio(int(within.sum()), int(into.sum())),
                "internal_chance": _ratio(n - 1, known - 1) if n else np.nan,
            }
        )
    columns = ["clips", "coverage", "edges", "density", "components", "clustering"]
    columns += ["internal_share", "internal_chance"]
    return pd.DataFrame(rows, index=pd.Index(names, name=by, dtype=object), columns=columns)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
