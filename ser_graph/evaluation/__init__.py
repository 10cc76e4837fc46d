"""Predictions -> numbers and figures."""

from ser_graph.evaluation.figures import plot_confusion_matrix, plot_history, plot_sensitivity, plot_students
from ser_graph.evaluation.metrics import bootstrap, confusion_matrix, evaluate, uar, uar_batchwise
from ser_graph.evaluation.probes import gap_closed, label_propagation, nearest_neighbours_vote, teacher_probe
from ser_graph.evaluation.report import write_report
from ser_graph.evaluation.significance import bootstrap_difference, holm, mcnemar, two_proportion_z
from ser_graph.evaluation.voices import heard_curve

__all__ = [
    "bootstrap",
    "bootstrap_difference",
    "confusion_matrix",
    "evaluate",
    "gap_closed",
    "heard_curve",
    "holm",
    "label_propagation",
    "mcnemar",
    "nearest_neighbours_vote",
    "plot_confusion_matrix",
    "plot_history",
    "plot_sensitivity",
    "plot_students",
    "teacher_probe",
    "two_proportion_z",
    "uar",
    "uar_batchwise",
    "write_report",
]
