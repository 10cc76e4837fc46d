"""A student as an ExecuTorch program (.pte) for apps on phones, which run it without Python: float32, XNNPACK."""

import json
import warnings
from typing import Any

import torch

from ser_graph.common.extras import optional_package
from ser_graph.downstream import Student
from ser_graph.edge.whole_student import WholeStudent

EXTRA = "executorch"
METADATA_METHOD = "ser_graph"  # a method of the program that returns the metadata as JSON


def executorch_program(student: Student, temperature: float, metadata: dict[str, Any]) -> bytes:
    """The program of a student for one clip at a time; its method `ser_graph` returns the metadata as JSON.

    Raises:
        InputError: a student that normalises by speaker, or the extra `executorch` is not installed.
    """
    whole = WholeStudent(student, temperature)
    exir = optional_package("executorch.exir", EXTRA)
    xnnpack = optional_package("executorch.backends.xnnpack.partition.xnnpack_partitioner", EXTRA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from torch's code, about torch's code
        exported = torch.export.export(whole, (torch.zeros(1, student.features.n_samples),))
        lowered = exir.to_edge_transform_and_lower(
            exported,
            partitioner=[xnnpack.XnnpackPartitioner()],
            constant_methods={METADATA_METHOD: json.dumps(metadata)},
        )
        return lowered.to_executorch().buffer
