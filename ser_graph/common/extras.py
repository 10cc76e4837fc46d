"""Optional packages of this distribution."""

from typing import Any

from ser_graph_runtime.extras import extra_package


def export_package(name: str, extra: str = "export") -> Any:
    """A module that an extra of `ser-graph` brings: onnx, onnxscript, executorch, litert_torch, faiss.

    Raises:
        InputError: the package is not installed; the message says how to install it.
    """
    return extra_package(name, f"ser-graph[{extra}]")
