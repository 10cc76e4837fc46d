"""Packages that only the device's part needs."""

import importlib
from typing import Any

from ser_graph.errors import InputError


def edge_package(name: str) -> Any:
    """A module of onnx, onnxruntime or onnxscript.

    Raises:
        InputError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name.partition('.')[0]} is not installed; run pip install 'ser-graph[edge]'") from None
