from .assortativity import homophily as homophily
from .bridges import bridge_clips as bridge_clips, bridge_pairs as bridge_pairs
from .card import graph_card as graph_card
from .columns import column_codes as column_codes, text_columns as text_columns
from .convert import neighbours as neighbours, to_networkx as to_networkx
from .duplicates import near_duplicates as near_duplicates
from .findings import Finding as Finding
from .groups import (
    communities as communities,
    community_statistics as community_statistics,
    subgraph_statistics as subgraph_statistics,
)
from .mixing import mixing_table as mixing_table
from .report import (
    format_report as format_report,
    format_statistics as format_statistics,
    graph_report as graph_report,
    report_json as report_json,
)
from .scores import score_clips as score_clips
from .splits import leakage as leakage
from .statistics import (
    chance_homophily as chance_homophily,
    degree_distribution as degree_distribution,
    edge_homophily as edge_homophily,
    graph_statistics as graph_statistics,
    nodes_in_scope as nodes_in_scope,
)
