"""The metadata of an exported model: JSON inside the ONNX file, checked before anything is made from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ser_graph_runtime.arrays import FEWEST, MOST
from ser_graph_runtime.errors import InputError, shown

FORMAT = "ser_graph.onnx"
FORMAT_VERSION = 1
METADATA_KEY = "ser_graph"
TEMPERATURES = (0.01, 100.0)  # the lowest and the highest; far outside of what calibration gives
TEXTS = ("title", "licence", "attribution")  # free texts about a model; each may be missing

_MOST_SAMPLES = 2**24  # of one window: 17 minutes at 16 kHz
_MOST_LETTERS = 10_000  # of a text
_MOST_INFO = 100_000  # letters of JSON


def checked_metadata(stored: str | None, path: Path) -> dict[str, Any]:
    """The metadata of a file as values of the right types; optional values are filled in.

    Args:
        stored: the JSON text in the file, if there is any.
        path: the file, for the message.

    Raises:
        InputError: a file of another program or version, or a value that cannot be right.
    """
    try:
        metadata = json.loads(stored or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        metadata = {}
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise InputError(f"{path} was not made by 'ser-graph export'; export a student with this command")
    metadata = _OPTIONAL | metadata
    if metadata.get("version") != FORMAT_VERSION or not metadata.keys() >= _EXPECTED.keys():
        raise InputError(
            f"{path} was exported by another version of ser_graph (format {metadata.get('version')}, expected "
            f"{FORMAT_VERSION}); export the student again with this version"
        )
    for name, (expected, is_right) in _EXPECTED.items():
        if not is_right(metadata[name]):
            raise InputError(
                f"{path} has a bad {name} in its metadata, {shown(metadata[name], 60)}, expected {expected}; "
                "export the student again"
            )
    return metadata


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and infinity are no JSON


def _is_int(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MOST_LETTERS


def _are_emotions(value: Any) -> bool:
    are_names = isinstance(value, list) and all(isinstance(one, str) and 0 < len(one) <= 100 for one in value)
    return are_names and 1 <= len(value) <= 1000 and len(set(value)) == len(value)


def _are_features(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_int(value.get("n_samples"), 1, _MOST_SAMPLES)
        and _is_int(value.get("sample_rate"), FEWEST, MOST)
        and _is_int(value.get("n_mels"), 1, 10_000)
    )


def _is_info(value: Any) -> bool:
    are_texts = isinstance(value, dict) and all(
        isinstance(value.get(name), str | None) for name in ("backbone", "corpus", "data_hash")
    )
    return are_texts and len(json.dumps(value)) <= _MOST_INFO


def _is_size(value: Any) -> bool:
    return _is_int(value, 0, 2**62)


_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "emotions": ("1 to 1,000 different names", _are_emotions),
    "features": (
        f"n_samples up to {_MOST_SAMPLES:,}, sample_rate from {FEWEST:,} to {MOST:,} and n_mels up to 10,000",
        _are_features,
    ),
    "normalise": ("corpus, utterance or speaker", lambda value: value in ("corpus", "utterance", "speaker")),
    "precision": ("float32 or int8", lambda value: value in ("float32", "int8")),
    "info": (f"values by name, up to {_MOST_INFO:,} letters", _is_info),
    "n_params": ("a whole number", _is_size),
    "macs": ("a whole number", _is_size),
    "temperature": ("a number from 0.01 to 100", lambda value: _is_number(value, *TEMPERATURES)),
    "threshold": ("a probability from 0 to 1", lambda value: _is_number(value, 0, 1)),
    **{name: (f"a text of up to {_MOST_LETTERS:,} letters", _is_text) for name in TEXTS},
}
_OPTIONAL: dict[str, Any] = {"temperature": 1.0, "threshold": 0.0, **dict.fromkeys(TEXTS, "")}
