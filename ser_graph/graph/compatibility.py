"""Check whether a student can predict the clips of a graph; without torch, so that it works on the device too."""

from collections.abc import Mapping, Sequence
from typing import Any

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph.meta import GraphMeta


def check_compatible(meta: GraphMeta, features: Mapping[str, Any], emotions: Sequence[str]) -> None:
    """Refuse a graph with other spectrogram settings than a student, or with emotions unknown to the student.

    Raises:
        InputError: they do not fit; the message names the difference.
    """
    check_same_features(meta.features, features)
    theirs = meta.names["emotion"]
    if not set(theirs) <= set(emotions):
        raise InputError(
            f"The graph does not fit the model: its emotions are {', '.join(theirs)}, but the model has "
            f"{', '.join(emotions)}; give the graph of the training, or a graph without other emotions"
        )


def check_same_features(graph: LogMelSettings, expected: Mapping[str, Any]) -> None:
    """Refuse a graph with other spectrogram settings than a student expects.

    Raises:
        InputError: a setting differs; the message names the first one.
    """
    given = graph.model_dump()
    for key, value in expected.items():
        if given.get(key) != value:
            raise InputError(
                f"The graph's spectrograms have {key}={given.get(key)!r}, the student expects {value!r}; predict "
                "from the clip table or sound files instead, or give the graph of the training"
            )
