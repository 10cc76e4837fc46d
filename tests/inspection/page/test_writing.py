import base64
import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bokeh.resources import Resources
from hypothesis import given, settings, strategies as st

from ser_graph.analysis import score_clips
from ser_graph.common.colors import EMOTION_COLORS, UNKNOWN_COLOR
from ser_graph.downstream import Student, predict_clips
from ser_graph.downstream.prediction import student_embeddings
from ser_graph.errors import InputError
from ser_graph.graph import build_graph
from ser_graph.inspection.layout import graph_layout, second_layout
from ser_graph.inspection.page import page_html, write_page, writing
from ser_graph.inspection.page.audio import encode_clip


@pytest.fixture
def page_of(read_page):
    """A graph and settings -> its page, read; without sound unless that is asked for."""

    def make(data, **settings):
        return read_page(page_html(data, **{"audio": "none", "progress": False, **settings}))

    return make


def small_graph(toy_graph, n, **changes):
    """The first n clips of the toy graph, with other columns, and what edges they have."""
    table = toy_graph.table.iloc[:n].assign(**changes)
    features = toy_graph.meta.features
    emb, x = toy_graph.emb[:n], toy_graph.x[:n]
    return build_graph(table, emb=emb, x=x, epsilon=None, n_neighbors=2, features=features)


def renamed(data, files):
    data.table = data.table.set_axis(pd.Index(files, name="file"))
    return data


NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "-->]]>",
    "\u2028\u2029\x00\x07\r\n\t",
    "😀 Ärger ẞ \u202eflipped",
    "\"'`\\ &lt;&amp;",
    "$title ${contents} $$ %s {0}",
    "\ufeff\ufffe\uffff",
]


# Safety


def test_nothing_but_the_two_scripts_may_run_and_nothing_is_loaded(toy_graph, page_of):
    page = page_of(toy_graph)
    run = [text for attributes, text in page.scripts if attributes.get("type") != "application/json"]
    assert len(run) == 2 and len(page.scripts) == 5 and "Bokeh" in run[0] and '"use strict"' in run[1]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert page.policy["script-src"] == [f"'sha256-{value}'" for value in hashes]
    assert page.policy["default-src"] == page.policy["base-uri"] == page.policy["form-action"] == ["'none'"]
    allowed = {value for name, values in page.policy.items() if name != "script-src" for value in values}
    assert allowed == {"'none'", "'unsafe-inline'", "data:", "blob:"}  # no host, no scheme of the network
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img", "import"}
        assert not {"src", "href", "srcset", "data", "action", "poster"} & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)


@pytest.mark.parametrize("name", writing._SCRIPTS)
def test_own_scripts_stay_within_their_element(name):
    script = writing._asset(name).lower()
    assert "</script" not in script and "<!--" not in script


def test_bokehs_script_stays_within_its_element():
    for script in Resources(mode="inline", components=["bokeh"]).js_raw:
        assert "</script" not in script.lower() and "<!--" not in script
        assert "\r" not in script and "\0" not in script  # a browser reads, and hashes, these as something else


def test_sound_of_files_is_allowed_only_where_it_is_played(toy_graph, make_clips, page_of):
    root = make_clips(*toy_graph.table.index)
    media = {
        kind: page_of(toy_graph, audio=kind, root=root, sample=3).policy["media-src"]
        for kind in ("none", "embed", "reference")
    }
    assert media["none"] == media["embed"] == ["data:", "blob:"]
    assert media["reference"] == ["data:", "blob:", "'self'", "file:"]


def test_hostile_text_survives_and_stays_text(toy_graph, page_of):
    n = len(NASTY)
    speakers = [f"x{text}" for text in NASTY]
    data = renamed(small_graph(toy_graph, n), NASTY)
    data.table = data.table.assign(speaker=speakers, sentence=NASTY)
    data.meta = data.meta.replace(corpus=NASTY[0])
    page = page_of(data)
    assert page.contents["files"] == NASTY
    columns = {column["name"]: column for column in page.contents["columns"]}
    for name, texts in (("speaker", speakers), ("sentence", NASTY)):
        assert [columns[name]["values"][code] for code in columns[name]["codes"]] == texts
    assert page.title == f"{NASTY[0]}: the graph" and page.contents["title"] == NASTY[0]
    assert len(page.scripts) == 5


any_text = st.text() | st.sampled_from(NASTY)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(any_text, min_size=1))
def test_any_text_survives_the_page(read_page, texts):
    contents = {"title": texts[0], "audio": {"kind": "none"}, "texts": texts}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "Resources", lambda **_: SimpleNamespace(js_raw=["Bokeh"]))  # a megabyte otherwise
        html = writing._html(contents, {"sounds": texts}, {"texts": texts[::-1]})
    page = read_page(html.encode("utf-8").decode("utf-8"))
    assert page.contents == contents
    assert page.late == {"sounds": texts} and page.json("drawing-model") == {"texts": texts[::-1]}
    assert len(page.scripts) == 5


# Contents


def test_the_page_holds_the_graph(toy_graph, page_of):
    page = page_of(toy_graph, by="speaker")
    contents = page.contents
    assert contents["files"] == toy_graph.table.index.tolist()
    assert (contents["title"], contents["by"], contents["ego"]) == ("toy", "speaker", None)
    assert (contents["epsilon"], contents["scope"], contents["n_in_graph"]) == (0.96, "train", 120)
    assert contents["unknown_color"] == UNKNOWN_COLOR
    edges = contents["edges"]
    assert [edges["source"], edges["target"]] == toy_graph.edge_index.tolist()
    assert edges["similarity"] == pytest.approx(toy_graph.edge_weight.tolist(), abs=1e-4)
    assert len(page.late["sheets"]) == 2 and len(contents["spectrograms"]["shown"]) == 120


def test_scores_are_those_of_the_whole_graph_at_the_right_clips(toy_graph, page_of):
    page = page_of(toy_graph, sample=20, seed=4)
    columns = {column["name"]: column for column in page.contents["columns"]}
    scores = score_clips(toy_graph).loc[page.contents["files"]]
    for name in ("label_score", "outlier_score", "hub_score", "near_duplicate_score"):
        assert columns[name]["numbers"] == pytest.approx(scores[name].tolist(), rel=1e-3)
    suggested = columns["suggested"]
    assert [suggested["values"][code] for code in suggested["codes"]] == scores["suggested"].tolist()


def test_places_are_those_of_the_layout(toy_graph, page_of):
    ego = "s1/017.wav"
    page = page_of(toy_graph, ego=ego, hops=1, seed=3)
    files = page.contents["files"]
    assert page.contents["ego"] == ego and 1 < len(files) < 120
    places = graph_layout(toy_graph, seed=3)[[toy_graph.node(file) for file in files]]
    (shown,) = page.contents["maps"]
    assert np.column_stack([shown["x"], shown["y"]]) == pytest.approx(places, abs=1e-5)


def test_predictions_are_columns_that_clips_can_be_coloured_by(toy_graph, page_of):
    toy_graph.table["predicted"] = "of another student"
    predictions = toy_graph.table[["emotion"]].rename(columns={"emotion": "predicted"}).iloc[::-1]
    page = page_of(toy_graph, predictions=predictions, by="outcome")
    columns = {column["name"]: column for column in page.contents["columns"]}
    assert columns["outcome"]["values"] == ["right"] and columns["predicted"]["values"] == toy_graph.emotions
    assert len(columns) == len(page.contents["columns"])
    with pytest.raises(InputError, match="Bad column 'outcome'"):
        page_of(toy_graph, by="outcome")


def test_a_student_gives_predictions_and_a_second_map(toy_graph, page_of):
    student = Student("resnet9", toy_graph.emotions, toy_graph.meta.features, width=0.125)
    page = page_of(toy_graph, student=student, sample=20, seed=4)
    first, second = (np.column_stack([one["x"], one["y"]]) for one in page.contents["maps"])
    rows = [toy_graph.node(file) for file in page.contents["files"]]
    places = graph_layout(toy_graph, seed=4)
    assert first == pytest.approx(places[rows], abs=1e-5)
    emb = student_embeddings(student, toy_graph)
    assert second == pytest.approx(second_layout(emb, places, seed=4)[rows], abs=1e-5)
    predicted = predict_clips(student, toy_graph)["predicted"]
    (column,) = [column for column in page.contents["columns"] if column["name"] == "predicted"]
    assert [column["values"][code] for code in column["codes"]] == predicted.iloc[rows].tolist()
    with pytest.raises(InputError, match="Both predictions and a student"):
        page_of(toy_graph, student=student, predictions=predict_clips(student, toy_graph))


def test_an_address_belongs_to_the_clips_of_a_page(toy_graph, page_of):
    names = [page_of(toy_graph, sample=20, seed=seed).contents["id"] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_what_the_page_may_save_as_the_clip_table(toy_graph, page_of):
    """The columns of the clip table, exact; not the predictions and scores."""
    durations = np.random.default_rng(0).uniform(1, 9, 120)
    toy_graph.table = toy_graph.table.assign(duration=durations, label_score="of another program")
    page = page_of(toy_graph)
    assert page.contents["table"] == ["emotion", "speaker", "gender", "duration", "split"]
    columns = {column["name"]: column for column in page.contents["columns"]}
    assert columns["duration"]["numbers"] == durations.tolist()
    assert page.contents["label_colors"]["emotion"] == {name: EMOTION_COLORS[name] for name in toy_graph.emotions}
    assert sorted(page.contents["label_colors"]["outcome"]) == ["right", "wrong"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_graphs_of_hardly_any_clip(toy_graph, page_of, n):
    page = page_of(small_graph(toy_graph, n))
    assert len(page.contents["files"]) == n
    assert len(page.contents["edges"]["source"]) == n * min(n - 1, 2)


def test_a_graph_of_which_nothing_is_known(toy_graph, page_of):
    unknown = {"emotion": None, "speaker": None, "gender": None, "duration": np.nan}
    data = small_graph(toy_graph, 10, **unknown)
    data.meta = data.meta.replace(corpus=None)
    data.edge_index, data.edge_weight = data.edge_index[:, :0], data.edge_weight[:0]
    page = page_of(data)
    columns = {column["name"]: column for column in page.contents["columns"]}
    assert columns["emotion"]["codes"] == [-1] * 10 and columns["duration"]["numbers"] == [None] * 10
    assert page.contents["title"] == "clips" and page.contents["edges"]["source"] == []


def test_embedded_sound_is_of_the_clip(toy_graph, make_clips, page_of):
    root = make_clips(*toy_graph.table.index)
    page = page_of(toy_graph, audio="embed", root=root, sample=7)
    alone = [encode_clip(root / file) for file in page.contents["files"]]
    assert page.late["sounds"] == alone and len(set(alone)) == 7


# Writing


def test_the_same_graph_and_seed_give_the_same_bytes(toy_graph, make_clips, tmp_path):
    root = make_clips(*toy_graph.table.index[:5], folder=tmp_path / "corpus")
    settings = {"root": root, "progress": False, "ego": "s0/000.wav", "hops": 1, "seed": 2, "audio": "embed"}
    first = write_page(toy_graph, tmp_path / "a.html", **settings).read_bytes()
    toy_graph.__dict__.pop("_layouts")
    assert write_page(toy_graph, tmp_path / "b.html", **settings).read_bytes() == first
    assert write_page(toy_graph, tmp_path / "c.html", **{**settings, "seed": 3}).read_bytes() != first


def test_a_page_is_there_whole_or_not_at_all(toy_graph, tmp_path, monkeypatch):
    out = tmp_path / "new" / "page.html"
    settings = {"audio": "none", "progress": False}
    assert write_page(toy_graph, out, **settings) == out
    before = out.read_bytes()
    assert b"\r" not in before and before.startswith(b"<!DOCTYPE html>")

    def fail(*_):
        raise OSError(28, "No space left on device")

    for broken in ("spectrogram_sheets", "_html"):
        with monkeypatch.context() as patch:
            patch.setattr(writing, broken, fail)
            with pytest.raises(OSError, match="No space"):
                write_page(toy_graph, out, **settings)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(OSError, match="No space"):
            write_page(toy_graph, out, **settings)
    assert out.read_bytes() == before and list(out.parent.iterdir()) == [out]


def test_mistakes_are_found_before_the_long_work(toy_graph, tmp_path, monkeypatch):
    for long_work in ("page_audio", "spectrogram_sheets", "graph_layout"):
        monkeypatch.setattr(writing, long_work, lambda *_, **__: pytest.fail("too late"))
    strange = pd.DataFrame({"predicted": ["anger"]}, index=["elsewhere.wav"])
    for wrong in ({"by": "mood"}, {"ego": "nobody.wav"}, {"sample": 0}, {"predictions": strange}):
        with pytest.raises(InputError):
            write_page(toy_graph, tmp_path / "page.html", **wrong)
    assert not list(tmp_path.iterdir())


def test_references_are_relative_to_where_the_page_is_written(toy_graph, make_clips, tmp_path, read_page):
    root = make_clips(*toy_graph.table.index, folder=tmp_path / "corpus")
    out = write_page(toy_graph, tmp_path / "pages" / "p.html", audio="reference", root=root, progress=False)
    page = read_page(out.read_text("utf-8"))
    assert page.late["sounds"] == [f"../corpus/{file}" for file in page.contents["files"]]
