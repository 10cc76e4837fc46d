"""Embeddings -> the graph: one PyG `Data` whose nodes are clips."""

from ser_graph.graph.building import build_graph
from ser_graph.graph.clip_graph import ClipGraph
from ser_graph.graph.dataset import EmotionGraph
from ser_graph.graph.extending import add_clips
from ser_graph.graph.sampling import NeighborLoader, TopNeighborSampler
from ser_graph.graph.statistics import graph_statistics, mixing_matrix
from ser_graph.graph.storage import load_graph, save_graph

__all__ = [
    "ClipGraph",
    "EmotionGraph",
    "NeighborLoader",
    "TopNeighborSampler",
    "add_clips",
    "build_graph",
    "graph_statistics",
    "load_graph",
    "mixing_matrix",
    "save_graph",
]
