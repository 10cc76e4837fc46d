"""The graph -> tables: what it reaches, whom it joins, which clips are suspicious, what leaks."""

from ser_graph.graph.statistics.columns import column_codes, text_columns
from ser_graph.graph.statistics.mixing import mixing_matrix
from ser_graph.graph.statistics.whole import chance_homophily, edge_homophily, graph_statistics, nodes_in_scope

__all__ = [
    "chance_homophily",
    "column_codes",
    "edge_homophily",
    "graph_statistics",
    "mixing_matrix",
    "nodes_in_scope",
    "text_columns",
]
