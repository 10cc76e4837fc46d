"""The environment of a result: versions, machine, threads."""

import functools
import platform
from importlib import metadata
from typing import Any

_RECORDED_PACKAGES = (
    "ser-graph",
    "torch",
    "torchaudio",
    "torch-geometric",
    "transformers",
    "pynndescent",
    "faiss-cpu",
    "numpy",
    "pandas",
    "scikit-learn",
    "soundfile",
)


def environment() -> dict[str, Any]:
    """The environment of a result: versions, machine, threads.

    Examples:
        >>> sorted(environment())
        ['cpu', 'packages', 'platform', 'python', 'threads']
    """
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in _RECORDED_PACKAGES},
    }


@functools.cache  # reading a version takes milliseconds, and it does not change
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
