"""Predictions -> numbers and figures."""

from ser_graph.evaluation.figures import plot_confusion_matrix, plot_history, plot_students
from ser_graph.evaluation.metrics import bootstrap, confusion_matrix, evaluate, uar, uar_batchwise
from ser_graph.evaluation.significance import bootstrap_difference, holm, mcnemar, two_proportion_z

__all__ = [
    "bootstrap",
    "bootstrap_difference",
    "confusion_matrix",
    "evaluate",
    "holm",
    "mcnemar",
    "plot_confusion_matrix",
    "plot_history",
    "plot_students",
    "two_proportion_z",
    "uar",
    "uar_batchwise",
]
