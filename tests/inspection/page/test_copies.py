"""A page of a graph with copies at other speeds."""

import numpy as np
import pytest
import torch

from ser_graph.corpora import with_copies
from ser_graph.graph import build_graph
from ser_graph.inspection.ego import plot_ego
from ser_graph.inspection.map import plot_map
from ser_graph.inspection.page import write_page
from ser_graph.inspection.page.audio import encode_clip, page_audio
from ser_graph.inspection.spectrograms import plot_neighbours
from ser_graph.inspection.view import inspect


@pytest.fixture
def copied(sounding_graph):
    """Twelve clips that can be heard, and a copy of each."""
    emb = torch.cat([sounding_graph.emb, sounding_graph.emb + 0.01])
    features = sounding_graph.meta.features
    table = with_copies(sounding_graph.table, 1)
    return build_graph(table, emb=emb, epsilon=None, n_neighbors=3, scope="all", features=features, progress=False)


def test_a_copy_is_seen_and_heard_at_its_speed_and_is_alone(copied, tmp_path, read_page, corpus_folder):
    page = read_page(write_page(copied, tmp_path / "page.html", audio="embed", progress=False).read_text("utf-8"))
    contents, late = page.contents, page.json("late")
    assert contents["files"] == copied.table.index.tolist()
    assert contents["n_in_graph"] == 24
    assert max(contents["edges"]["source"] + contents["edges"]["target"]) < 12
    assert len(contents["edges"]["source"]) == 36
    columns = {column["name"]: column for column in contents["columns"]}
    assert columns["split"]["codes"][12:] == [
        columns["split"]["codes"][row]
        if columns["split"]["values"][columns["split"]["codes"][row]] == "train"
        else -1
        for row in range(12)
    ]
    assert columns["label_score"]["numbers"][12:] == [None] * 12
    assert None not in columns["label_score"]["numbers"][:12]
    assert columns["speed"]["numbers"] == copied.table["speed"].tolist()
    assert columns["neighbours"]["numbers"][12:] == [0] * 12
    shown = contents["spectrograms"]["shown"]
    np.testing.assert_allclose(shown[12:], np.minimum(0.5 / copied.table["speed"][12:], 8192 / 16_000), atol=1e-3)
    for row, (file, speed) in enumerate(zip([*copied.table.index[:12]] * 2, copied.table["speed"], strict=True)):
        assert late["sounds"][row] == encode_clip(corpus_folder / file, speed)
    assert len(set(late["sounds"])) == 24


def test_copies_have_no_file_to_refer_to(copied, tmp_path):
    sources = page_audio(copied.table, "reference", root=None, folder=tmp_path)["sources"]
    assert None not in sources[:12]
    assert sources[12:] == [None] * 12


def test_pictures_know_what_a_copy_is(copied):
    copy = copied.table.index[12]
    text = [one.get_text() for one in plot_ego(copied, copy).texts]
    assert "no neighbours: copies at other speeds have no edges" in text
    assert len(plot_neighbours(copied, copy)) == 1
    legend = [one.get_text() for one in plot_map(copied).get_legend().get_texts()]
    assert "test (3)" in legend and "train (12)" in legend and "no split (6)" in legend


def test_a_notebook_hears_a_copy_at_its_speed(copied, corpus_folder, monkeypatch):
    pytest.importorskip("anywidget")
    shown = inspect(copied)
    messages = []
    monkeypatch.setattr(shown.widget, "send", lambda content, buffers=None: messages.append(content))
    content = {"data": {"method": "custom", "content": {"clip": 13}}}
    shown.widget._handle_msg({"content": content, "buffers": []})
    file, speed = copied.table["copy_of"].iloc[13], copied.table["speed"].iloc[13]
    assert messages[0]["address"] == encode_clip(corpus_folder / file, speed)
    assert messages[0]["address"] != encode_clip(corpus_folder / file)
