"""Optional packages: each is imported where it is used."""

import importlib
import os
from typing import Any

from ser_graph_runtime.errors import InputError


def extra_package(name: str, install: str) -> Any:
    """A module that an extra brings, e.g. `soundfile` of ``ser-graph-runtime[files]``.

    Args:
        name: the module.
        install: the distribution with its extra, as pip takes it.

    Raises:
        InputError: the package, or a library of the system that it needs, is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # without this, onnxruntime sends usage data to Microsoft
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{package} is not installed; run pip install '{install}'") from None
    except OSError as error:
        raise InputError(f"{package} does not work here ({error}); install the library that it names") from None
