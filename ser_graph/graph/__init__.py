"""Embeddings -> the graph: one PyG `Data` whose nodes are clips."""

from ser_graph.graph.building import build_graph
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.dataset import EmotionGraph
from ser_graph.graph.extending import add_clips
from ser_graph.graph.sampling import NeighborLoader, TopNeighborSampler
from ser_graph.graph.settings import GraphSettings
from ser_graph.graph.statistics import (
    bridge_clips,
    bridge_pairs,
    communities,
    community_statistics,
    degree_distribution,
    graph_card,
    graph_report,
    graph_statistics,
    homophily,
    leakage,
    mixing_matrix,
    mixing_table,
    near_duplicates,
    score_clips,
    subgraph_statistics,
    to_networkx,
)
from ser_graph.graph.storage import load_graph, save_graph

__all__ = [
    "ClipGraph",
    "EmotionGraph",
    "GraphSettings",
    "NeighborLoader",
    "TopNeighborSampler",
    "add_clips",
    "bridge_clips",
    "bridge_pairs",
    "build_graph",
    "communities",
    "community_statistics",
    "degree_distribution",
    "graph_card",
    "graph_report",
    "graph_statistics",
    "homophily",
    "leakage",
    "load_graph",
    "mixing_matrix",
    "mixing_table",
    "near_duplicates",
    "save_graph",
    "score_clips",
    "subgraph_statistics",
    "to_networkx",
]
