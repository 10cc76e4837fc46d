"""`GraphSettings`: one spelling for none, what is stored reads back as the same, and every mistake is one line."""

import json
import tomllib

import numpy as np
import pytest
import tomli_w
from hypothesis import given, strategies as st

from ser_graph.errors import InputError
from ser_graph.graph import GraphSettings
from ser_graph.graph.settings import SPLITS_OF, coverage_of

epsilons = st.none() | st.floats(-1, 1, exclude_max=True) | st.sampled_from(["coverage:0.8", "coverage:1", "none"])
graph_settings = st.builds(
    GraphSettings,
    epsilon=epsilons,
    n_neighbors=st.integers(1, 99),
    center=st.sampled_from(["none", "corpus", "speaker"]),
    across=st.lists(st.sampled_from(["speaker", "sentence"]), unique=True),
    mutual=st.booleans(),
    scope=st.sampled_from(sorted(SPLITS_OF)),
    method=st.sampled_from(["auto", "exact", "nndescent", "faiss"]),
    seed=st.integers(0, 2**63 - 1),
    n_jobs=st.none() | st.integers(1, 64),
)


@given(graph_settings)
def test_what_is_stored_reads_back_as_the_same(settings):
    stored = settings.model_dump(mode="json")
    assert GraphSettings(**json.loads(json.dumps(stored))) == settings
    written = tomli_w.dumps({name: value for name, value in stored.items() if value is not None})
    assert GraphSettings(**tomllib.loads(written)) == settings  # None of epsilon is not lost: its default is 0.99


def test_none_is_one_text():
    assert GraphSettings(epsilon="none") == GraphSettings(epsilon=None)
    assert GraphSettings(epsilon="none").epsilon is None
    assert GraphSettings(epsilon=None).model_dump(mode="json")["epsilon"] == "none"
    assert GraphSettings().epsilon == 0.99
    for other in ("None", "null", ""):
        with pytest.raises(InputError, match="Bad epsilon"):
            GraphSettings(epsilon=other)


def test_numbers_of_numpy_and_lists_are_taken():
    settings = GraphSettings(epsilon=np.float32(0.5), n_neighbors=np.int64(3), across=["speaker"])
    assert settings == GraphSettings(epsilon=0.5, n_neighbors=3, across=("speaker",))
    assert type(settings.n_neighbors) is int


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epsilon": True}, "Bad epsilon True, expected a cosine similarity from -1 to below 1"),
        ({"epsilon": float("inf")}, "Bad epsilon inf"),
        ({"epsilon": "0.9"}, "Bad epsilon '0.9'"),
        ({"n_neighbors": 2.5}, "Bad n_neighbors 2.5, expected a whole number, at least 1"),
        ({"center": "voice"}, r"Bad center 'voice', expected one of \['corpus', 'none', 'speaker'\]"),
        ({"across": "speaker"}, r"Bad across 'speaker', expected a list of columns, e.g. \['speaker'\]"),
        ({"mutual": "yes"}, "Bad mutual 'yes'"),
        ({"scope": "dev"}, r"Bad scope 'dev', expected one of \['all', 'train', 'train\+dev'\]"),
        ({"method": "hnsw"}, r"Bad method 'hnsw', expected one of \['auto', 'exact', 'faiss', 'nndescent'\]"),
        ({"seed": -1}, "Bad seed -1"),
        ({"n_jobs": 0}, "Bad n_jobs 0, expected a whole number, at least 1, or None"),
        ({"space": "speaker"}, r"Bad setting 'space', expected one of \['across', 'center'"),
    ],
)
def test_mistakes_are_one_line(given, message):
    with pytest.raises(InputError, match=message) as caught:
        GraphSettings(**given)
    assert "\n" not in str(caught.value)


@given(st.floats(0, 1, exclude_min=True))
def test_coverage_is_a_share_of_clips(share):
    assert coverage_of(f"coverage:{share!r}") == share
    for other in (-share, 1 + max(share, 1e-9)):
        with pytest.raises(InputError, match="expected a share of clips"):
            coverage_of(f"coverage:{other!r}")
