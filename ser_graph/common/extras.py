"""Optional packages, which only export and device need."""

import importlib
import os
from typing import Any

from ser_graph.errors import InputError


def edge_package(name: str, extra: str = "edge") -> Any:
    """A module of a package that an extra brings: onnx, onnxruntime, onnxscript, sounddevice.

    Raises:
        InputError: the package is not installed; the message says how to install it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # without this, onnxruntime sends usage data to Microsoft
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(f"{package} is not installed; run pip install 'ser-graph[{extra}]'") from None
