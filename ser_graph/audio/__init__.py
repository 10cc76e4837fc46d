"""File -> waveform -> log-mel spectrogram. Nothing is imported before use: the reader works without torch."""

import importlib
from typing import Any

_HOMES = {
    "LogMel": "log_mel",
    "LogMelSettings": "log_mel",
    "Standardise": "standardise",
    "fit_length": "reading",
    "load_waveform": "reading",
    "log_mels": "features",
    "map_array": "mapped",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ser_graph.audio' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ser_graph.audio.{_HOMES[name]}"), name)
