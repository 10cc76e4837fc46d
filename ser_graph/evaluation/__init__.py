"""Predictions -> numbers and figures."""

from ser_graph.evaluation.figures import plot_confusion_matrix, plot_history, plot_students
from ser_graph.evaluation.metrics import bootstrap, confusion_matrix, evaluate, uar, uar_batchwise

__all__ = [
    "bootstrap",
    "confusion_matrix",
    "evaluate",
    "plot_confusion_matrix",
    "plot_history",
    "plot_students",
    "uar",
    "uar_batchwise",
]
