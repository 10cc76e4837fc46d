"""What a graph says of its making: as an object, as JSON, and what of it is refused."""

import json

import pytest
from hypothesis import given, settings as examples, strategies as st
from pydantic import ValidationError

from ser_graph.audio.settings import LogMelSettings
from ser_graph.errors import InputError
from ser_graph.graph.meta import GraphMeasures, GraphMeta, SimilarityHistogram, UpstreamMeta, parse_meta
from ser_graph.graph.settings import GraphSettings
from ser_graph.upstream.settings import EmbeddingSettings

TEXT = st.text(max_size=4)
COUNT = st.integers(0, 2**63 - 1)
SHARE = st.floats(0, 1)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
METAS = st.builds(
    GraphMeta,
    corpus=st.none() | TEXT,
    names=st.dictionaries(st.sampled_from(["emotion", "speaker", "gender"]), st.lists(TEXT, max_size=3)),
    data_hash=TEXT,
    environment=st.dictionaries(TEXT, st.none() | TEXT | COUNT, max_size=2),
    features=st.builds(LogMelSettings, n_mels=st.integers(1, 99), f_max=st.none() | st.floats(1, 8000)),
    settings=st.builds(
        GraphSettings,
        epsilon=st.none() | st.floats(-1, 0.99) | st.just("coverage:0.8"),
        across=st.lists(TEXT, max_size=2),
    ),
    embedding=st.builds(EmbeddingSettings, layer=st.just("projector") | st.lists(st.integers(-3, 3), max_size=2)),
    upstream=st.none() | st.builds(UpstreamMeta.of, TEXT, st.dictionaries(TEXT, COUNT | st.lists(NUMBER))),
    measured=st.builds(
        GraphMeasures,
        n_edges=COUNT,
        epsilon=st.none() | NUMBER,
        coverage=SHARE,
        similarity_quantiles=st.dictionaries(TEXT, NUMBER, max_size=2),
        similarity_histogram=st.none()
        | st.builds(SimilarityHistogram, low=st.just(-1), high=SHARE, nearest=st.just([1]), pairs=st.just([2])),
    ),
)


@examples(deadline=None, max_examples=50)
@given(METAS)
def test_what_is_dumped_comes_back(meta):
    text = json.dumps(meta.model_dump(mode="json"), allow_nan=False)
    assert parse_meta(json.loads(text)) == meta


def test_it_is_frozen_and_replaced():
    meta = GraphMeta(corpus="emovo", names={"emotion": ["joy"]})
    with pytest.raises(ValidationError):
        meta.corpus = "other"
    other = meta.replace(corpus="other", settings=meta.settings.replace(scope="all"))
    assert (other.corpus, other.settings.scope, other.names) == ("other", "all", meta.names)
    assert (meta.corpus, meta.settings) == ("emovo", GraphSettings())


def test_every_coded_column_has_names():
    assert GraphMeta(names={"emotion": ["joy"]}).names == {"emotion": ["joy"], "speaker": [], "gender": []}
    assert GraphMeta().names == {"emotion": [], "speaker": [], "gender": []}


WHOLE = GraphMeta(upstream=UpstreamMeta(fingerprint="f00", info={"n": 1})).replace(
    measured=GraphMeasures(similarity_histogram=SimilarityHistogram(low=0, high=1, nearest=[3], pairs=[4]))
)


def places(values, before=()):
    """Every name of nested objects, with those it stands under; what users name themselves is left out."""
    for name, value in values.items():
        yield (*before, name)
        if isinstance(value, dict) and name not in ("environment", "info", "similarity_quantiles"):
            yield from places(value, (*before, name))


PLACES = list(places(WHOLE.model_dump(mode="json")))


def changed(place, change):
    content = part = WHOLE.model_dump(mode="json")
    for name in place[:-1]:
        part = part[name]
    change(part, place[-1])
    return content


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_no_name_may_be_missing(place):
    assert len(PLACES) > 40
    content = changed(place, lambda part, name: part.pop(name))
    with pytest.raises(InputError, match=rf"^(No |(\w+\.)*){place[-1]}(, expected .*| is missing)$") as caught:
        parse_meta(content)
    assert "\n" not in str(caught.value)


FLAGS = ("mutual", "shared_speakers", "finetuned")


@pytest.mark.parametrize("place", PLACES, ids=".".join)
@pytest.mark.parametrize("value", [[[None]], True], ids=["list", "bool"])
def test_no_value_may_be_of_another_type(place, value):
    if value is True and place[-1] in FLAGS:
        return
    name = place[0] if place[0] == "names" else place[-1]
    with pytest.raises(InputError, match=f"^Bad {name} ") as caught:
        parse_meta(changed(place, lambda part, name: part.update({name: value})))
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_shown_in_part():
    with pytest.raises(InputError, match=r"^Bad corpus \['x+\.\.\., expected a name or None$") as caught:
        GraphMeta(corpus=["x" * 5000])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("graph",), {}, "Bad field 'graph', expected one of ['corpus', "),
        (("features", "n_bins"), 3, "Bad setting 'n_bins', expected one of ['f_max', "),
        (("names", "sentence"), [], "Bad column of names 'sentence', expected one of ['emotion', 'gender', "),
        (("names", "emotion"), [1], "Bad names 1, expected lists of text under emotion, speaker, gender"),
        (("measured", "n_edges"), -1, "Bad n_edges -1, expected a whole number, at least 0"),
        (("measured", "coverage"), 1.5, "Bad coverage 1.5, expected at least 0 and at most 1"),
        (("measured", "recall"), float("nan"), "Bad recall nan, expected at least 0 and at most 1"),
        (("measured", "epsilon"), float("inf"), "Bad epsilon inf, expected a number or None"),
        (("measured", "similarity_histogram", "pairs"), [1, 2], "A histogram has 1 bins for nearest and 2 for"),
        (("measured", "similarity_histogram", "pairs"), [-1], "Bad pairs -1, expected a list of counts"),
        (("measured", "similarity_histogram", "low"), 2, "Bad low=2.0 and high=1.0 of a histogram, expected low <"),
        (("settings", "epsilon"), 7, "Bad epsilon 7, expected a cosine similarity"),
        (("upstream", "finetuned"), 1, "Bad finetuned 1, expected a valid boolean"),
        (("self",), 1, "Bad field 'self', expected one of"),
    ],
)
def test_what_no_graph_says(place, value, message):
    with pytest.raises(InputError) as caught:
        parse_meta(changed(place, lambda part, name: part.update({name: value})))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_something_else_than_an_object():
    with pytest.raises(InputError, match=r"^Bad meta of type list, expected an object$"):
        parse_meta([])
