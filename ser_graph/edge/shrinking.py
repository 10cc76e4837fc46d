"""Make an ONNX model smaller without a change of its results."""

from itertools import count
from typing import Any

import numpy as np

from ser_graph.common.extras import optional_package

_DENSE = 4096  # numbers; a smaller table is not worth three more nodes


def shrink(graph: Any, keep: set[str]) -> None:
    """Shrink an ONNX graph in place: no notes, short names, and tables of zeros stored without their zeros.

    In a student of 78,000 weights, names, notes and the zeros of the mel filters take as much space as the weights.

    Args:
        graph: an ``onnx.GraphProto``.
        keep: names of inner values that keep their name and shape. Inputs and outputs of the graph always do.
    """
    _remove_notes(graph, keep)
    _store_sparsely(graph)
    _shorten_names(graph, keep)


def _remove_notes(graph: Any, keep: set[str]) -> None:
    """Remove what torch notes: stack traces with paths of this machine, names of modules, shapes."""
    shapes = [value for value in graph.value_info if value.name in keep]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *shapes):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]
    graph.value_info.extend(shapes)


def _store_sparsely(graph: Any) -> None:
    """Store large float tables that are mostly 0 as their other values; runtimes fill them once, when they load."""
    onnx = optional_package("onnx")
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        (places,) = values.reshape(-1).nonzero()
        if values.dtype != np.float32 or values.size < _DENSE or 4 * len(places) > values.size:
            continue
        name = tensor.name
        graph.initializer.remove(tensor)
        parts = {
            f"{name}/size": np.array([values.size]),
            f"{name}/places": places.astype(np.int32),
            f"{name}/values": values.reshape(-1)[places],
            f"{name}/shape": np.array(values.shape),
        }
        graph.initializer.extend(onnx.numpy_helper.from_array(array, part) for part, array in parts.items())
        size, where, what, shape = parts
        filled = [
            onnx.helper.make_node("ConstantOfShape", [size], [f"{name}/zeros"]),
            onnx.helper.make_node("ScatterElements", [f"{name}/zeros", where, what], [f"{name}/flat"]),
            onnx.helper.make_node("Reshape", [f"{name}/flat", shape], [name]),
        ]
        nodes = [*filled, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)


def _shorten_names(graph: Any, keep: set[str]) -> None:
    """Number values and nodes instead of naming them by their modules."""
    numbers = count()
    kept = keep | {value.name for value in [*graph.input, *graph.output]} | {""}  # "": an input left out
    short: dict[str, str] = {name: name for name in kept}
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, str(next(numbers)))
    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            shortened = [short.setdefault(name, str(next(numbers))) for name in names]
            del names[:]
            names.extend(shortened)
