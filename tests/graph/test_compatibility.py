"""Which graphs a student may be asked about."""

import pytest

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph.compatibility import check_compatible
from ser_graph.graph.meta import GraphMeta

SHORT = LogMelSettings(n_samples=8192)
FEATURES = SHORT.model_dump()


def meta(emotions, **changes):
    return GraphMeta(features=SHORT.replace(**changes), names={"emotion": emotions})


def test_emotions_that_it_knows():
    for emotions in (["anger", "fear"], ["fear"], []):
        check_compatible(meta(emotions), FEATURES, ["anger", "fear"])
    with pytest.raises(InputError, match=r"^The graph does not fit the model: its emotions are fear, joy"):
        check_compatible(meta(["fear", "joy"]), FEATURES, ["anger", "fear"])


def test_spectrograms_of_the_same_settings():
    with pytest.raises(
        InputError, match=r"^The graph's spectrograms have n_mels=40, the student expects 64; predict"
    ):
        check_compatible(meta(["fear"], n_mels=40), FEATURES, ["fear"])
