"""The graph -> pictures."""

from ser_graph.inspection.agreement import matrix_correlation, plot_confusions_beside_mixing
from ser_graph.inspection.ego import plot_ego
from ser_graph.inspection.layout import graph_layout
from ser_graph.inspection.map import plot_map
from ser_graph.inspection.plots import plot_degrees, plot_mixing, plot_similarities
from ser_graph.inspection.spectrograms import plot_neighbours, plot_spectrogram

__all__ = [
    "graph_layout",
    "matrix_correlation",
    "plot_confusions_beside_mixing",
    "plot_degrees",
    "plot_ego",
    "plot_map",
    "plot_mixing",
    "plot_neighbours",
    "plot_similarities",
    "plot_spectrogram",
]
