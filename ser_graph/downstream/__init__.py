"""The graph -> a trained student."""

from ser_graph.downstream.backbones import BACKBONES, make_backbone
from ser_graph.downstream.labels import labelled_nodes
from ser_graph.downstream.neighbour_loss import neighbour_loss
from ser_graph.downstream.prediction import predict_clips
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.student import Student, load_student
from ser_graph.downstream.training import train

__all__ = [
    "BACKBONES",
    "Student",
    "TrainingSettings",
    "labelled_nodes",
    "load_student",
    "make_backbone",
    "neighbour_loss",
    "predict_clips",
    "train",
]
