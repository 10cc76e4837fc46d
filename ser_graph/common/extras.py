"""Optional packages of this distribution: what an export needs, and what reads the data of other libraries."""

from typing import Any

from ser_graph_runtime.extras import extra_package


def optional_package(name: str, extra: str = "export") -> Any:
    """A module that an extra of `ser-graph` brings: onnx, executorch, litert_torch, datasets, audformat, faiss, ...

    Raises:
        InputError: the package is not installed; the message says how to install it.
    """
    return extra_package(name, f"ser-graph[{extra}]")
