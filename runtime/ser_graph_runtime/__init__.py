"""Recognise emotions in speech with a model that `ser-graph export` made. Needs numpy and onnxruntime only.

from ser_graph_runtime import Recogniser

recogniser = Recogniser("student.onnx")
answer = recogniser(samples, rate)
print(answer.emotion, answer.confidence)
"""

from ser_graph_runtime.answers import Answer
from ser_graph_runtime.errors import InputError
from ser_graph_runtime.ready import ready_models
from ser_graph_runtime.recogniser import Recogniser

__all__ = ["Answer", "InputError", "Recogniser", "ready_models"]
