"""The graph -> pictures."""

from ser_graph.inspection.plots import mixing_matrix, plot_mixing, plot_similarities

__all__ = ["mixing_matrix", "plot_mixing", "plot_similarities"]
