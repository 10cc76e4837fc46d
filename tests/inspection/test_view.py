import base64
import io
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from ser_graph.errors import InputError
from ser_graph.inspection import view
from ser_graph.inspection.page import page_html
from ser_graph.inspection.view import inspect


@pytest.fixture
def at_hand(toy_graph, make_clips, tmp_path):
    """The graph and the sound of its clips."""
    toy_graph.table.attrs["root"] = str(make_clips(*toy_graph.table.index, folder=tmp_path / "corpus"))
    return toy_graph


@pytest.fixture
def without_anywidget(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)


@pytest.fixture
def sent(monkeypatch):
    """A view -> what its widget sends to the page from now on."""

    def watch(shown):
        messages = []
        monkeypatch.setattr(shown.widget, "send", lambda content, buffers=None: messages.append(content))
        return messages

    return watch


def contents_of(html, part="contents"):
    return json.loads(re.search(rf'<script type="application/json" id="{part}">(.*?)</script>', html, re.DOTALL)[1])


def ask(shown, content):
    """A message from the page, as it arrives over the wire."""
    shown.widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


# With anywidget


def test_the_view_holds_the_page(at_hand):
    shown = inspect(at_hand, sample=20, seed=3, by="speaker", height=321)
    contents = contents_of(shown.widget.html)
    assert contents["files"] == shown.table.index.tolist() and len(shown.table) == 20
    assert contents["by"] == "speaker" and contents["audio"]["kind"] == "live" and shown.widget.height == 321
    assert shown.table.equals(at_hand.table.loc[contents["files"]])
    assert repr(shown) == "View of 20 clips"
    assert shown.widget._esm.count("iframe") and 'sandbox", "allow-scripts allow-downloads"' in shown.widget._esm


def test_what_is_selected_comes_back_as_rows_of_the_table(toy_graph):
    shown = inspect(toy_graph, sample=20)
    assert shown.selection.empty and shown.chosen is None
    shown.widget.set_state({"selection": [4, 11, 19], "chosen": 7})
    assert shown.selection.equals(shown.table.iloc[[4, 11, 19]])
    assert shown.selection.equals(toy_graph.table.loc[shown.selection.index])
    assert shown.chosen == shown.table.index[7]


def test_choosing_sends_the_place_of_the_clip(toy_graph, sent):
    shown = inspect(toy_graph, ego="s1/017.wav", hops=1)
    messages = sent(shown)
    assert 1 < len(shown.table) < 120
    for place in (0, len(shown.table) - 1):
        shown.choose(contents_of(shown.widget.html)["files"][place])
        assert messages.pop() == {"ser_graph": "choose", "clip": place}
    beyond = (set(toy_graph.table.index) - set(shown.table.index)).pop()
    with pytest.raises(InputError, match=f"No clip '{beyond}' in the view, which shows {len(shown.table)} clips"):
        shown.choose(beyond)


def test_the_page_gets_the_sound_it_asks_for(at_hand, sent):
    shown = inspect(at_hand, sample=20)
    messages = sent(shown)
    root = at_hand.table.attrs["root"]
    for clip in (0, 19, 5):
        ask(shown, {"clip": clip})
        answer = messages.pop()
        assert (answer["ser_graph"], answer["clip"], messages) == ("audio", clip, [])
        decoded, rate = soundfile.read(io.BytesIO(base64.b64decode(answer["address"].split(",")[1])))
        original, _ = soundfile.read(f"{root}/{shown.table.index[clip]}")
        assert rate == 16_000 and np.corrcoef(decoded, original[: len(decoded)])[0, 1] > 0.7  # it is noise
    for nonsense in (
        {"clip": 20},
        {"clip": -1},
        {"clip": "0"},
        {"clip": None},
        {"clip": 1.0},
        {},
        [],
        "clip",
        3,
        None,
    ):
        ask(shown, nonsense)
    assert messages == []


def test_a_file_that_is_gone_is_answered_too(at_hand, sent, tmp_path):
    shown = inspect(at_hand)
    messages = sent(shown)
    (tmp_path / "corpus" / at_hand.table.index[3]).unlink()
    ask(shown, {"clip": 3})
    assert messages == [{"ser_graph": "audio", "clip": 3, "address": None}]


def test_without_files_there_is_no_sound(toy_graph, sent):
    shown = inspect(toy_graph)
    messages = sent(shown)
    assert contents_of(shown.widget.html)["audio"]["kind"] == "none"
    ask(shown, {"clip": 0})
    assert messages == []


def test_sound_inside_on_request(at_hand):
    html = inspect(at_hand, audio="embed", sample=3).widget.html
    sounds = contents_of(html, "late")["sounds"]
    assert contents_of(html)["audio"]["kind"] == "embed" and len(sounds) == 3 and None not in sounds
    assert contents_of(inspect(at_hand, audio="none").widget.html)["audio"]["kind"] == "none"
    elsewhere = inspect(at_hand, audio="embed", sample=3, root=at_hand.table.attrs["root"])
    assert contents_of(elsewhere.widget.html, "late")["sounds"] == sounds


@pytest.mark.parametrize("audio", ["reference", "live", "loud"])
def test_files_cannot_be_referenced_from_a_notebook(at_hand, audio):
    with pytest.raises(InputError, match=rf"'{audio}', expected one of \['auto', 'embed', 'none'\]"):
        inspect(at_hand, audio=audio)


def test_a_cell_shows_the_widget(toy_graph):
    shown = inspect(toy_graph, sample=3)
    bundle = shown._repr_mimebundle_(include=None, exclude=None)
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.widget.model_id


# Without


class Frame(HTMLParser):
    def handle_starttag(self, tag, attrs):
        assert not hasattr(self, "tag"), "the frame has been left"
        self.tag, self.attributes = tag, dict(attrs)


def test_without_anywidget_a_frame_without_rights(toy_graph, without_anywidget):
    speaker = ["\"><script>alert('&quot;')</script>", *toy_graph.table["speaker"][1:]]
    toy_graph.table = toy_graph.table.assign(speaker=speaker)
    bundle = inspect(toy_graph, height=321)._repr_mimebundle_(include=None, exclude=None)
    frame = Frame()
    frame.feed(bundle["text/html"])
    assert frame.tag == "iframe" and "height:321px" in frame.attributes["style"]
    assert frame.attributes["sandbox"].split() == ["allow-scripts", "allow-downloads"]  # never allow-same-origin
    assert frame.attributes["srcdoc"] == page_html(toy_graph)
    assert bundle["text/plain"] == "View of 120 clips"


def test_without_anywidget_nothing_comes_back_and_that_is_said(toy_graph, without_anywidget):
    shown = inspect(toy_graph)
    for question in (lambda: shown.selection, lambda: shown.chosen, lambda: shown.choose("s0/000.wav")):
        with pytest.raises(InputError, match="pip install anywidget"):
            question()


def test_without_anywidget_sound_is_inside_or_not_at_all(at_hand, without_anywidget, monkeypatch):
    assert contents_of(inspect(at_hand, sample=4)._html)["audio"]["kind"] == "embed"
    monkeypatch.setattr(view, "EMBED_UP_TO", 3)
    audio = contents_of(inspect(at_hand, sample=4)._html)["audio"]
    assert audio["kind"] == "none" and "pip install anywidget" in audio["note"]
    assert contents_of(inspect(at_hand, sample=4, audio="embed")._html)["audio"]["kind"] == "embed"


def test_mistakes_are_those_of_the_page(toy_graph):
    for wrong in ({"by": "mood"}, {"ego": "nobody.wav"}, {"sample": 3, "ego": "s0/000.wav"}, {"audio": "embed"}):
        with pytest.raises(InputError):
            inspect(toy_graph, **wrong)
