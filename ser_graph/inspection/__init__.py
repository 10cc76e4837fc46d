"""The graph -> pictures."""

from ser_graph.inspection.plots import plot_mixing, plot_similarities

__all__ = ["plot_mixing", "plot_similarities"]
