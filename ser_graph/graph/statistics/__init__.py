"""The graph -> tables: what it reaches, whom it joins, which clips are suspicious, what leaks."""

from ser_graph.graph.statistics.bridges import bridge_clips, bridge_pairs
from ser_graph.graph.statistics.card import graph_card
from ser_graph.graph.statistics.columns import column_codes, text_columns
from ser_graph.graph.statistics.communities import communities, community_statistics
from ser_graph.graph.statistics.convert import to_networkx
from ser_graph.graph.statistics.duplicates import near_duplicates
from ser_graph.graph.statistics.homophily import homophily
from ser_graph.graph.statistics.leakage import leakage
from ser_graph.graph.statistics.mixing import mixing_matrix, mixing_table
from ser_graph.graph.statistics.report import format_figures, format_report, graph_report, report_json
from ser_graph.graph.statistics.scores import score_clips
from ser_graph.graph.statistics.subgraphs import subgraph_statistics
from ser_graph.graph.statistics.whole import (
    chance_homophily,
    degree_distribution,
    edge_homophily,
    graph_statistics,
    nodes_in_scope,
)

__all__ = [
    "bridge_clips",
    "bridge_pairs",
    "chance_homophily",
    "column_codes",
    "communities",
    "community_statistics",
    "degree_distribution",
    "edge_homophily",
    "format_figures",
    "format_report",
    "graph_card",
    "graph_report",
    "graph_statistics",
    "homophily",
    "leakage",
    "mixing_matrix",
    "mixing_table",
    "near_duplicates",
    "nodes_in_scope",
    "report_json",
    "score_clips",
    "subgraph_statistics",
    "text_columns",
    "to_networkx",
]
