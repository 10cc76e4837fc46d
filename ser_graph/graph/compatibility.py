"""Whether a student can predict the clips of a graph; checked without torch, on the device too."""

from collections.abc import Mapping, Sequence
from typing import Any

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph.meta import GraphMeta


def check_compatible(meta: GraphMeta, features: Mapping[str, Any], emotions: Sequence[str]) -> None:
    """Refuse a graph of other spectrograms than a student's, or of emotions that it does not know.

    Args:
        meta: of the graph.
        features: settings of the student's spectrograms.
        emotions: the student's.

    Raises:
        InputError: names what differs.
    """
    check_same_features(meta.features, features)
    theirs = meta.names["emotion"]
    if not set(theirs) <= set(emotions):
        raise InputError(
            f"The graph does not belong to the model: its emotions are {', '.join(theirs)}, those of the model "
            f"{', '.join(emotions)}; give the graph that it was trained on, or one of no others"
        )


def check_same_features(graph: LogMelSettings, expected: Mapping[str, Any]) -> None:
    """Refuse a graph whose spectrograms are of other settings than a student's.

    Args:
        graph: those of the graph.
        expected: the student's.

    Raises:
        InputError: names the first setting that differs.
    """
    given = graph.model_dump()
    for key, value in expected.items():
        if given.get(key) != value:
            raise InputError(
                f"The graph's spectrograms have {key}={given.get(key)!r}, the student expects {value!r}; predict "
                "from the clip table or sound files instead, or give the graph that it was trained on"
            )
