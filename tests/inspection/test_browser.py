"""The page in a real browser: what is clicked, typed, drawn and heard."""

import base64
import csv
import http.server
import io
import itertools
import json
import re
import shutil
import threading

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser_graph.common.csv_files import protected, unprotected
from ser_graph.corpora.table import load_table, read_table
from ser_graph.downstream import predict_clips, train
from ser_graph.downstream.prediction import student_embeddings
from ser_graph.inspection.layout import graph_layout, second_layout
from ser_graph.inspection.page import write_page

NASTY = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def page_file(_sounding_graph, tmp_path_factory):
    """The page of `sounding_graph`, sound inside, with a student that takes all fear for anger."""
    predictions = _sounding_graph.table[["emotion"]].iloc[::-1]
    predictions = predictions.assign(predicted=predictions["emotion"].replace("fear", "anger"))
    return write_page(_sounding_graph, tmp_path_factory.mktemp("page") / "page.html", predictions=predictions)


@pytest.fixture
def page(page_file, open_page):
    return open_page(page_file)


def contents(page):
    return json.loads(page.locator("#contents").text_content())


def sounds(page):
    return json.loads(page.locator("#late").text_content())["sounds"]


def model(page, name, expression):
    """Something of one of Bokeh's models: what is really drawn."""
    return page.evaluate(f"Bokeh.documents[0].get_model_by_name('{name}').{expression}")


def places(page, name):
    """[M, 2] where the points of a source lie."""
    return np.array(
        [page.evaluate(f"Array.from(Bokeh.documents[0].get_model_by_name('{name}').data.{axis})") for axis in "xy"]
    ).T


def place(page, clip, prefix=""):
    """Where a clip is on the screen, on the first map or on that of the prefix."""
    plot = page.evaluate(
        """([clip, prefix]) => {
            const plot = Bokeh.documents[0].get_model_by_name(`${prefix}plot`);
            const { data } = Bokeh.documents[0].get_model_by_name("clips");
            const [x, y] = [data[`${prefix}x`], data[`${prefix}y`]];
            const [across, up] = [[plot.x_range, x[clip]], [plot.y_range, y[clip]]].map(
                ([range, value]) => (value - range.start) / (range.end - range.start));
            const frame = Bokeh.index.get_by_id(plot.id).frame.bbox;
            const box = Bokeh.index.get_by_id(plot.id).el.getBoundingClientRect();
            return [box.x + frame.x + across * frame.width, box.y + frame.y + (1 - up) * frame.height];
        }""",
        [clip, prefix],
    )
    return tuple(plot)


def until(page, condition):
    """Wait until an expression is true. Playwright's own waiting uses eval, which the page forbids."""
    for _ in range(400):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"never true: {condition}")


def title(page):
    return page.inner_text("#clip-title")


def shown(page):
    return sorted(model(page, "shown", "indices"))


def test_it_opens_without_a_word_and_loads_nothing(page):
    assert page.problems == []
    outside = [url for url in page.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [page.url]
    assert page.inner_text("#summary") == "12 clips, 36 edges"
    assert page.inner_text("#audio-note") == "Sound is inside this page (MP3, 16 kHz, mono)."


@pytest.fixture
def outside():
    """A server that answers everything, and the list of what it has been asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


# Directive of the policy -> what it forbids.
ATTEMPTS = {
    "connect-src": "fetch('URL/fetch').catch(() => null)",
    "img-src": "new Promise(done => { const i = new Image(); i.onerror = i.onload = done; i.src = 'URL/image'; })",
    "media-src": "new Promise(done => { const a = new Audio('URL/sound'); a.onerror = done; a.load(); })",
    "script-src-elem": """new Promise(done => { const s = document.createElement('script');
        s.onerror = s.onload = done; s.src = 'URL/script'; document.body.append(s); })""",
    "script-src-attr": """new Promise(done => { const p = document.createElement('p');
        p.innerHTML = '<b onclick="fetch(`URL/handler`)">'; document.body.append(p); p.firstChild.click();
        setTimeout(done, 100); })""",
}


@pytest.mark.parametrize("directive", ATTEMPTS)
def test_what_would_leave_the_page_is_forbidden(page, outside, open_page, tmp_path, directive):
    url, asked = outside
    attempt = ATTEMPTS[directive].replace("URL", url)
    seen = page.evaluate(
        f"""async () => {{
            const seen = [];
            document.addEventListener("securitypolicyviolation", event => seen.push(event.effectiveDirective));
            await {attempt};
            await new Promise(done => setTimeout(done, 50));
            return seen;
        }}"""
    )
    assert directive in seen
    assert asked == []
    # Without the policy, the same attempt arrives.
    open_door = tmp_path / "open.html"
    open_door.write_text("<!DOCTYPE html><html data-ready='true'><body></body></html>")
    door = open_page(open_door)
    door.evaluate(f"async () => {{ await {attempt}; }}")
    for _ in range(400):  # a busy machine takes its time
        if asked:
            break
        door.wait_for_timeout(25)
    assert len(asked) == 1


def test_a_click_on_the_map_chooses_the_clip_and_its_sound(page, sounding_graph):
    page.mouse.click(*place(page, 6))
    file = sounding_graph.table.index[6]
    assert title(page) == file
    assert places(page, "chosen").tolist() == [places(page, "clips")[6].tolist()]
    source = page.get_attribute("#player", "src")
    assert source == sounds(page)[6]
    facts = dict(row.split("\t", 1) for row in page.inner_text("#facts").splitlines())
    assert (facts["emotion"].strip(), facts["speaker"].strip(), facts["predicted"].strip()) == (
        "fear",
        "02",
        "anger",
    )
    # An empty place chooses nothing.
    box = page.locator("#drawing").bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] - 3)
    assert title(page) == file


def test_a_clip_is_heard_and_so_is_its_neighbour(page, sounding_graph):
    page.mouse.click(*place(page, 0))
    page.locator("#clip-title").focus()
    page.keyboard.press("Space")
    until(page, "document.getElementById('player').currentTime > 0.1")
    assert page.evaluate("document.getElementById('player').duration") == pytest.approx(0.5, abs=0.1)
    assert page.inner_text("#sound") == f"Playing {sounding_graph.table.index[0]}"

    neighbour = _neighbours(sounding_graph, 0)[1]
    page.locator("#neighbours li").nth(1).get_by_role("button").first.click()
    until(page, "document.getElementById('other-player').currentTime > 0.1")
    assert page.evaluate("document.getElementById('player').paused")
    assert page.get_attribute("#other-player", "src") == sounds(page)[neighbour]


def test_comparing_plays_the_clip_and_then_the_neighbour(page, sounding_graph):
    page.mouse.click(*place(page, 0))
    page.evaluate(
        """() => { window.order = []; for (const id of ["player", "other-player"])
            document.getElementById(id).addEventListener("ended", () => window.order.push(id)); }"""
    )
    page.keyboard.press("c")
    until(page, "window.order.length === 2")
    assert page.evaluate("window.order") == ["player", "other-player"]
    heard = page.get_attribute("#other-player", "src")
    assert heard == sounds(page)[_neighbours(sounding_graph, 0)[0]]


def _neighbours(data, clip):
    source, target = data.edge_index.numpy()
    return source[target == clip].tolist()


def test_neighbours_are_those_of_the_graph(page, sounding_graph):
    for clip in (0, 5, 11):
        page.mouse.click(*place(page, clip))
        items = page.locator("#neighbours li")
        files = [items.nth(k).locator(".go").inner_text() for k in range(items.count())]
        assert files == [sounding_graph.table.index[k] for k in _neighbours(sounding_graph, clip)]
        weights = sounding_graph.edge_weight[sounding_graph.edge_index[1] == clip].tolist()
        assert [f"{weight:.3f}" in items.nth(k).inner_text() for k, weight in enumerate(weights)] == [True] * 3
        assert len(model(page, "edges_of_chosen", "data.x0")) == 3


def test_spectrograms_are_drawn_in_the_clips_own_length(page):
    page.mouse.click(*place(page, 3))
    until(page, "document.getElementById('spectrogram').dataset.clip === '3'")
    page.wait_for_timeout(200)
    width, height, colors = page.evaluate(
        """() => { const canvas = document.getElementById("spectrogram");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const seen = new Set(); for (let k = 0; k < data.length; k += 4) seen.add(data.slice(k, k + 3).join());
            return [canvas.width, canvas.height, seen.size]; }"""
    )
    assert (width, height) == (round(31 * 0.5 / 0.512), 64)
    assert colors > 20  # noise, not a plain area
    assert page.inner_text("#spectrogram-caption") == "0 to 0.50 s, 0 to 8000 Hz (mel)"


def test_walking_with_the_keyboard(page, sounding_graph):
    files = list(sounding_graph.table.index)
    page.mouse.click(*place(page, 0))
    second = _neighbours(sounding_graph, 0)[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert title(page) == files[second]
    third = _neighbours(sounding_graph, second)[0]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert title(page) == files[third]
    page.keyboard.press("ArrowLeft")
    assert title(page) == files[second]
    page.keyboard.press("ArrowLeft")
    assert title(page) == files[0]
    page.keyboard.press("ArrowLeft")
    assert title(page) == files[0]


def test_the_legend_filters_and_says_how_many(page):
    assert page.inner_text("#legend").split("\n") == ["anger (4)", "fear (4)", "sadness (4)"]
    page.get_by_label("fear (4)").uncheck()
    assert shown(page) == [0, 1, 2, 3, 8, 9, 10, 11]
    page.select_option("#by", "speaker")
    page.get_by_label("00 (3)").uncheck()
    assert shown(page) == [1, 2, 3, 9, 10, 11]
    assert page.inner_text("#count") == "6 of 12 clips shown"
    page.click("#reset")
    assert shown(page) == list(range(12))
    assert page.locator("#legend input:checked").count() == 4


def test_a_score_filters_by_its_limits(page):
    page.select_option("#by", "outlier_score")
    scores = next(column for column in contents(page)["columns"] if column["name"] == "outlier_score")["numbers"]
    assert len(set(model(page, "clips", "data.color"))) > 1
    limit = np.median(scores)
    page.get_by_label("most outlier_score").fill(str(limit))
    page.keyboard.press("Enter")
    assert shown(page) == [clip for clip, score in enumerate(scores) if score <= limit]
    assert 0 < len(shown(page)) < 12


def test_search_looks_at_files_speakers_and_emotions(page, sounding_graph):
    table = sounding_graph.table
    for words, expected in (
        ("FEAR", table["emotion"] == "fear"),
        ("s2/", table.index.str.startswith("s2/")),
        ("03 sad", (table["speaker"] == "03") & (table["emotion"] == "sadness")),
        ("#11", table.index.str.contains("#11")),
        ("nowhere", table["emotion"] == "boredom"),
    ):
        page.fill("#search", words)
        assert shown(page) == np.flatnonzero(expected).tolist(), words
        listed = page.locator("#list button").all_inner_texts()
        assert len(listed) == len(shown(page))
    page.fill("#search", "#7")
    page.press("#search", "Enter")
    assert title(page) == table.index[7]


def test_the_slider_hides_weak_edges(page, sounding_graph):
    page.select_option("#edges", "shown")
    weights = np.sort(sounding_graph.edge_weight.numpy())
    assert len(model(page, "edges", "data.x0")) == len(weights)
    limit = float(weights[19] + weights[20]) / 2  # similarities come in pairs here
    page.locator("#similarity").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", limit
    )
    assert len(model(page, "edges", "data.x0")) == (weights >= limit).sum()
    assert page.inner_text("#similarity-value") == f"{limit:.3f}"
    page.mouse.click(*place(page, 0))
    own = sounding_graph.edge_weight[sounding_graph.edge_index[1] == 0].numpy()
    assert page.locator("#neighbours li").count() == (own >= limit).sum()
    page.select_option("#edges", "none")
    assert len(model(page, "edges", "data.x0")) == len(model(page, "edges_of_chosen", "data.x0")) == 0


def test_a_region_is_counted_and_saved_as_a_table(page, sounding_graph, tmp_path):
    xs = places(page, "clips")[:, 0]
    page.evaluate(
        """() => Bokeh.documents[0].get_model_by_name("plot").toolbar.tools
            .find(tool => tool.type === "BoxSelectTool").active = true"""
    )
    leftmost = np.argsort(xs)
    group, others = leftmost[:5], leftmost[5:]
    on_screen = np.array([place(page, clip) for clip in range(12)])
    border = (on_screen[group, 0].max() + on_screen[others, 0].min()) / 2
    page.mouse.move(*(on_screen.min(0) - 15))
    page.mouse.down()
    page.mouse.move(border, on_screen[:, 1].max() + 15, steps=4)
    page.mouse.up()
    page.wait_for_selector("#selection:not([hidden])")
    assert page.inner_text("#selection-title") == "5 clips selected"
    chosen = sounding_graph.table.iloc[sorted(group)]
    rows = page.locator("#counts table").first.locator("tr").all()
    counts = {row.locator("td").nth(0).inner_text(): int(row.locator("td").nth(1).inner_text()) for row in rows}
    assert counts == chosen["emotion"].value_counts().to_dict()

    with page.expect_download() as download:
        page.click("#export")
    saved = tmp_path / "selection.csv"
    download.value.save_as(saved)
    read_back = read_table(saved)[list(chosen.columns)]
    pd.testing.assert_frame_equal(read_back, chosen, check_dtype=False)
    page.keyboard.press("Escape")
    assert page.inner_text("#selection-title") == "No selection"


def test_a_clip_is_relabelled_and_the_table_saved(page, sounding_graph, corpus_folder, tmp_path):
    table = sounding_graph.table
    page.mouse.click(*place(page, 6))
    options = page.locator("#relabel option").all_inner_texts()
    assert [option.split(" ")[0] for option in options] == ["anger", "fear", "sadness", "no"]
    assert any("predicted" in option for option in options if option.startswith("anger"))
    page.select_option("#relabel", "=anger")
    assert page.inner_text("#corrections-title") == "1 corrected label"
    assert page.inner_text("#label-before") == "before: fear"
    assert page.inner_text("#legend").split("\n") == ["anger (5)", "fear (3)", "sadness (4)"]
    colors = model(page, "clips", "data.color")
    assert colors[6] == colors[0] != colors[5]
    page.get_by_label("only mistakes of the student").check()
    assert shown(page) == [4, 5, 7]  # the student took the clip for anger, too
    page.fill("#search", "sadness")  # a selection of several clips, the last one without a label
    page.get_by_label("only mistakes of the student").uncheck()
    page.click("#select-shown")
    page.select_option("#relabel-selection", "=fear")
    page.fill("#search", "#11")
    page.click("#select-shown")
    page.select_option("#relabel-selection", "")
    page.fill("#search", "")
    expected = table["emotion"].tolist()
    expected[6], expected[8:] = "anger", ["fear", "fear", "fear", np.nan]
    assert page.inner_text("#corrections-title") == "5 corrected labels"

    with page.expect_download() as download:
        page.click("#save-labels")
    assert download.value.suggested_filename == "labels.csv"
    saved = tmp_path / "labels.csv"
    download.value.save_as(saved)
    corrected = table.assign(emotion=expected)
    pd.testing.assert_frame_equal(read_table(saved), corrected, check_dtype=False)
    loaded = load_table(saved, corpus_folder)  # as `build table` reads it
    pd.testing.assert_frame_equal(loaded.loc[table.index], corrected, check_dtype=False)

    page.get_by_label("Undo the label of s2/fear #6.wav").click()
    assert page.inner_text("#corrections-title") == "4 corrected labels"
    page.click("#undo-labels")
    assert page.inner_text("#corrections-title") == "No corrected labels"
    assert page.inner_text("#legend").split("\n") == ["anger (4)", "fear (4)", "sadness (4)"]
    assert page.problems == []


def test_saved_labels_are_exact_and_no_formula(sounding_graph, open_page, tmp_path):
    durations = np.random.default_rng(0).uniform(0.1, 9, 12)
    names = ["=1+1", "-5 dB", "+", "'=x", 'a "b"', "a,b", "a;b", "@x", "-5", "x\u2028y", "\uff1d1", "é"]
    table = sounding_graph.table.assign(duration=durations, note=names)
    sounding_graph.table = table
    page = open_page(write_page(sounding_graph, tmp_path / "page.html", audio="none"))
    page.mouse.click(*place(page, 0))
    page.select_option("#relabel", "=fear")
    with page.expect_download() as download:
        page.click("#save-labels")
    download.value.save_as(tmp_path / "labels.csv")
    shown = [name.replace("\u2028", r"\u2028") for name in names]  # control characters are shown, not obeyed
    expected = table.assign(emotion=["fear", *table["emotion"][1:]], note=shown)
    pd.testing.assert_frame_equal(read_table(tmp_path / "labels.csv"), expected, check_dtype=False)
    with (tmp_path / "labels.csv").open(encoding="utf-8-sig", newline="") as file:
        assert not [cell for row in csv.reader(file) for cell in row if protected(unprotected(cell)) != cell]
    assert page.inner_text("#facts").count(f"{durations[0]:.4g}") == 1  # shown with four digits


def words_of(page):
    """The title of the histograms."""
    return " ".join(page.inner_text("#histograms-title").split())


def rows_of(page, name):
    """A histogram: value -> number, and the widths of its two bars."""
    chart = page.locator("#charts figure", has=page.locator(f"figcaption:text-is('{name}')"))
    rows = chart.locator("tr").all()
    widths = "row => [...row.querySelectorAll('.meter')].map(bar => parseFloat(bar.style.width))"
    return {
        row.locator("th").inner_text(): (int(row.locator("td").nth(1).inner_text()), row.evaluate(widths))
        for row in rows
    }


def test_histograms_compare_the_selection_with_all(page, sounding_graph):
    assert words_of(page) == "Histograms: all 12 clips"
    names = page.locator("#charts figcaption").all_inner_texts()
    assert names == ["emotion", "speaker", "neighbours", "duration"]
    page.fill("#search", "0 anger")
    page.click("#select-shown")
    page.fill("#search", "")
    chosen = sounding_graph.table[sounding_graph.table["emotion"] == "anger"]
    chosen = chosen[chosen.index.str.contains("0") | chosen["speaker"].str.contains("0")]
    assert words_of(page) == f"Histograms: {len(chosen)} clips selected, all 12 clips"
    found = rows_of(page, "emotion")
    assert {name: n for name, (n, _) in found.items()} == {"anger": len(chosen), "fear": 0, "sadness": 0}
    assert found["anger"][1] == pytest.approx([100, 100 / 3], abs=0.01)  # all of the selection, a third of all
    assert found["fear"][1] == pytest.approx([0, 100 / 3], abs=0.01)
    assert {name: n for name, (n, _) in rows_of(page, "speaker").items()} == {f"0{k}": 1 for k in range(4)}
    degrees = page.locator("#charts .bins").first.locator(".bin")
    assert degrees.count() == 1 and degrees.get_attribute("title") == "3: 4 of 4 (100 %); all: 12 of 12 (100 %)"
    page.click("#unselect")
    page.get_by_label("fear (4)").uncheck()
    assert words_of(page) == "Histograms: 8 clips shown, all 12 clips"
    assert rows_of(page, "emotion")["fear"][0] == 0


def test_bins_of_numbers_are_those_of_numpy(sounding_graph, open_page, tmp_path):
    durations = np.random.default_rng(1).uniform(0.1, 9, 12)
    sounding_graph.table = sounding_graph.table.assign(duration=durations)
    page = open_page(write_page(sounding_graph, tmp_path / "page.html", audio="none"))
    titles = [one.get_attribute("title") for one in page.locator("#charts .bins").nth(1).locator(".bin").all()]
    found = [int(re.search(r"all: (\d+) of 12", title)[1]) for title in titles]
    assert found == np.histogram(durations, 16)[0].tolist()


@pytest.fixture(scope="module")
def student(_sounding_graph):
    return train(_sounding_graph, width=0.125, epochs=1, epoch_steps=1, transductive=True, progress=False)


def test_a_second_map_shows_the_students_space(sounding_graph, student, open_page, tmp_path):
    page = open_page(write_page(sounding_graph, tmp_path / "page.html", student=student))
    assert page.locator(".space:visible").all_inner_texts() == ["Teacher's map", "Student's map"]
    xy = graph_layout(sounding_graph)
    expected = second_layout(student_embeddings(student, sounding_graph), xy)
    data = "Array.from(Bokeh.documents[0].get_model_by_name('clips').data."
    found = np.array([page.evaluate(f"{data}student_{axis})") for axis in "xy"]).T
    assert found == pytest.approx(expected, abs=1e-5)
    assert pytest.approx(xy, abs=1e-5) == np.array([page.evaluate(f"{data}{axis})") for axis in "xy"]).T
    # A click, a lasso and a filter on one map act on both.
    page.mouse.click(*place(page, 6, "student_"))
    assert title(page) == sounding_graph.table.index[6]
    for prefix in ("", "student_"):
        assert places(page, f"{prefix}chosen").shape == (1, 2)
        assert len(model(page, f"{prefix}edges_of_chosen", "data.x0")) == 3
    assert places(page, "student_chosen")[0] == pytest.approx(expected[6], abs=1e-5)
    page.evaluate(
        """() => Bokeh.documents[0].get_model_by_name("student_plot").toolbar.tools
            .find(tool => tool.type === "BoxSelectTool").active = true"""
    )
    on_screen = np.array([place(page, clip, "student_") for clip in range(12)])
    page.mouse.move(*(on_screen.min(0) - 15))
    page.mouse.down()
    page.mouse.move(*(on_screen.max(0) + 15), steps=4)
    page.mouse.up()
    until(page, "document.getElementById('selection-title').textContent === '12 clips selected'")
    page.get_by_label("fear (4)").uncheck()
    for prefix in ("", "student_"):
        indices = f"Bokeh.documents[0].get_model_by_name('{prefix}points').view.filter.indices"
        assert sorted(page.evaluate(indices)) == [0, 1, 2, 3, 8, 9, 10, 11]
    page.mouse.move(*place(page, 0, "student_"))
    page.wait_for_selector("#student-map #tip:not([hidden])")
    predicted = predict_clips(student, sounding_graph)["predicted"]
    column = next(column for column in contents(page)["columns"] if column["name"] == "predicted")
    assert [column["values"][code] for code in column["codes"]] == predicted.tolist()
    assert page.problems == []


def test_two_maps_lie_below_each_other_in_a_narrow_window(sounding_graph, student, open_page, tmp_path):
    file = write_page(sounding_graph, tmp_path / "page.html", student=student, audio="none")
    page = open_page(file, viewport={"width": 380, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    first, second = (page.locator(name).bounding_box() for name in ("#drawing", "#student-drawing"))
    assert second["y"] >= first["y"] + first["height"] and second["height"] >= 300
    names, tools = page.locator(".space").all(), page.locator(".bk-ToolbarPanel, .bk-Toolbar .bk-tool-icon").all()
    right = max(one.bounding_box()["x"] + one.bounding_box()["width"] for one in names)
    lefts = [one.bounding_box()["x"] for one in tools if one.bounding_box()]
    assert lefts and right <= min(lefts)


def test_without_a_student_there_is_one_map(page):
    assert page.locator("#student-map").is_hidden() and page.locator(".space:visible").count() == 0


def test_a_view_can_be_sent_by_its_address(page, page_file, open_page, sounding_graph):
    page.select_option("#by", "speaker")
    page.get_by_label("02 (3)").uncheck()
    page.select_option("#by", "outlier_score")
    page.get_by_label("most outlier_score").fill("0.9999")
    page.keyboard.press("Enter")
    page.select_option("#order", "duration")
    page.select_option("#edges", "none")
    page.fill("#search", "sadness")
    page.click("#select-shown")
    page.select_option("#relabel-selection", "=anger")
    page.fill("#search", "s")
    page.get_by_label("only mistakes of the student").check()
    page.locator("#list button").first.click()
    page.keyboard.press("+")

    def state(one):
        controls = ["by", "order", "edges", "size", "similarity", "search"]
        ends = [model(one, "plot", f"{axis}_range.{end}") for axis in "xy" for end in ("start", "end")]
        texts = [
            "clip-title",
            "selection-title",
            "corrections-title",
            "correction-list",
            "legend",
            "count",
            "facts",
        ]
        return (
            [one.input_value(f"#{name}") for name in controls],
            [one.inner_text(f"#{name}") for name in texts],
            shown(one),
            sorted(model(one, "clips", "selected.indices")),
            [round(end, 3) for end in ends],
            one.is_checked("#mistakes"),
        )

    until(page, "location.hash.includes('view0') && location.hash.includes('clip')")
    sent = page.url
    assert sent.startswith(page_file.as_uri() + "#page=")
    other = open_page(page_file, address=sent)
    assert state(other) == state(page)
    assert page.inner_text("#corrections-title") != "No corrected labels" and 0 < len(shown(page)) < 12
    assert "hide.speaker=02" in sent and "mistakes=1" in sent and "selected=8-9%2C11" in sent
    # The same page takes another address, and the plain one again.
    first = open_page(page_file)
    first.evaluate("hash => { location.hash = hash; }", sent.split("#")[1])
    until(first, "document.getElementById('corrections-title').textContent !== 'No corrected labels'")
    assert state(first) == state(page)
    assert page.problems == other.problems == first.problems == []


@pytest.mark.parametrize(
    "address",
    [
        "clip=99&selected=5-99999999999,-3,x,1e3&view0=1,2&view9=0&by=nothing&order=emotion&size=9&similarity=x",
        "clip=-1&selected=3-1,NaN,Infinity&hide.emotion=joy&hide.nothing=x&hide.duration=0&range.emotion=1,2",
        "label.joy=1&label.=x&label.__proto__=1&hide.__proto__=1&range.duration=a,b&view0=NaN,1,0,1&by=__proto__",
        f"search={'%3Cimg%20src=x%20onerror=alert(1)%3E' * 50}&mistakes=1&edges=%00",
        "%",
    ],
)
def test_an_address_from_anyone_does_no_harm(page_file, open_page, address):
    name = contents(open_page(page_file))["id"]
    page = open_page(page_file, address=f"{page_file.as_uri()}#page={name}&{address}")
    assert page.inner_text("#corrections-title") == "No corrected labels"
    assert page.inner_text("#legend").split("\n") == ["anger (4)", "fear (4)", "sadness (4)"]
    assert page.locator("#clip").is_hidden()
    assert page.locator("img").count() == 0 and page.problems == []


def test_an_address_of_another_page_is_not_taken(page_file, open_page):
    page = open_page(page_file, address=f"{page_file.as_uri()}#page=00000000&clip=3&label.fear=1")
    assert "page with other clips" in page.inner_text("#address-note")
    assert title(page) == "No clip chosen" and page.inner_text("#corrections-title") == "No corrected labels"


def test_space_plays_after_a_click_in_the_list(page):
    page.locator("#list button").nth(2).click()
    assert page.evaluate("document.activeElement.dataset.clip") == "2"
    page.evaluate("() => { window.played = 0; player.addEventListener('play', () => window.played++); }")
    page.keyboard.press("Space")
    until(page, "window.played === 1 && player.currentTime > 0.1")
    # On the button of another clip, space is a click, as everywhere.
    page.locator("#list button").nth(5).focus()
    page.keyboard.press("Space")
    assert title(page) == contents(page)["files"][5]
    page.keyboard.press("Space")
    until(page, "window.played === 2")


def test_clips_of_a_search_can_be_selected_without_a_mouse(page):
    page.fill("#search", "sadness")
    page.locator("#select-shown").press("Enter")
    assert page.inner_text("#selection-title") == "4 clips selected"
    assert sorted(model(page, "clips", "selected.indices")) == [8, 9, 10, 11]


def test_only_the_mistakes(page):
    page.get_by_label("only mistakes of the student").check()
    assert shown(page) == [4, 5, 6, 7]


def test_the_list_puts_the_most_suspicious_first(page):
    page.select_option("#order", "outlier_score")
    scores = next(column for column in contents(page)["columns"] if column["name"] == "outlier_score")["numbers"]
    listed = [int(page.locator("#list button").nth(k).get_attribute("data-clip")) for k in range(12)]
    assert listed == sorted(range(12), key=lambda clip: (scores[clip], clip))


def test_text_of_a_corpus_is_shown_as_text(sounding_graph, open_page, tmp_path):
    table = sounding_graph.table
    language = "</script><script>document.title='hacked'</script>"
    sounding_graph.table = table.assign(speaker=table["speaker"].replace("02", NASTY), language=language)
    sounding_graph.meta = sounding_graph.meta.replace(corpus=NASTY)
    page = open_page(write_page(sounding_graph, tmp_path / "page.html"))
    page.mouse.click(*place(page, 2))
    page.mouse.move(*place(page, 6))
    page.select_option("#by", "speaker")
    page.click("#select-shown")
    page.wait_for_timeout(100)
    for panel in ("h1", "#legend", "#facts", "#counts", "#tip"):
        assert NASTY in page.inner_text(panel), panel
    assert "</script><script>" in page.inner_text("#facts")
    assert page.locator("img").count() == 0
    assert "hacked'" in page.title()  # in the name of the corpus, as text
    assert page.title() != "hacked"
    assert page.problems == []


def test_sound_beside_the_page(sounding_graph, corpus_folder, open_page, tmp_path):
    corpus = shutil.copytree(corpus_folder, tmp_path / "corpus")
    folder = tmp_path / "pages" / "new"
    folder.mkdir(parents=True)
    page = open_page(write_page(sounding_graph, folder / "page.html", audio="reference", root=corpus))
    assert "files of the corpus" in page.inner_text("#audio-note")
    page.mouse.click(*place(page, 4))
    assert page.get_attribute("#player", "src") == "../../corpus/s0/fear%20%234.wav"
    page.keyboard.press("Space")
    until(page, "document.getElementById('player').currentTime > 0.1")
    assert page.evaluate("document.getElementById('player').duration") == pytest.approx(0.5, abs=0.01)

    (corpus / sounding_graph.table.index[8]).unlink()
    page.mouse.click(*place(page, 8))
    page.keyboard.press("Space")
    until(page, "document.getElementById('sound').textContent.includes('cannot be played')")


def test_a_page_without_sound_says_so(sounding_graph, open_page, tmp_path):
    page = open_page(write_page(sounding_graph, tmp_path / "page.html", audio="none"))
    page.mouse.click(*place(page, 4))
    page.keyboard.press("Space")
    assert page.inner_text("#sound") == "This page was made without sound."
    assert page.problems == []


def test_what_is_around_a_clip_opens_with_it(sounding_graph, open_page, tmp_path):
    file = sounding_graph.table.index[9]
    page = open_page(write_page(sounding_graph, tmp_path / "page.html", ego=file, hops=1))
    assert title(page) == file
    assert page.inner_text("#summary").startswith(f"{len(contents(page)['files'])} of the 12 clips")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_can_be_read(page_file, open_page, scheme):
    page = open_page(page_file, color_scheme=scheme)
    assert page.get_attribute("html", "data-theme") == scheme
    page.mouse.click(*place(page, 0))
    for _ in range(2):
        for text in ("h1", "#summary", "#clip-title", "#facts th", "#facts td", ".list .about", "#count", "#theme"):
            assert _contrast(page, text) >= 4.5, text  # WCAG 2.1, AA
        ring = model(page, "chosen_ring", "glyph.line_color.value")
        assert ring == page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--text').trim()")
        page.click("#theme")
    assert page.get_attribute("html", "data-theme") == scheme


def _contrast(page, selector):
    """Contrast of a text with what is behind it."""
    colors = page.locator(selector).first.evaluate(
        """element => {
            const color = getComputedStyle(element).color;
            let behind = element, back;
            do { back = getComputedStyle(behind).backgroundColor; behind = behind.parentElement; }
            while (back === "rgba(0, 0, 0, 0)");
            const context = document.createElement("canvas").getContext("2d");
            return [color, back].map(text => {
                context.fillStyle = text;
                context.fillRect(0, 0, 1, 1);
                return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
            });
        }"""
    )
    levels = np.array(colors) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return (light + 0.05) / (dark + 0.05)


def test_a_narrow_window_puts_the_panels_below(page_file, open_page):
    page = open_page(page_file, viewport={"width": 380, "height": 700})
    page.locator("#list button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    map_box, aside = page.locator("#drawing").bounding_box(), page.locator("aside").bounding_box()
    assert aside["y"] >= map_box["y"] + map_box["height"]
    assert map_box["height"] >= 300


def test_everything_can_be_reached_and_has_a_name(page):
    page.mouse.click(*place(page, 0))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")].filter(element =>
            !element.closest("[hidden]") && !element.labels?.length && !element.getAttribute("aria-label")
            && !element.textContent.trim()).map(element => element.outerHTML)"""
    )
    assert nameless == []
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "by", "size", "edges", "similarity", "search", "order", "reset", "go", "player"} <= reached
    page.locator("#search").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.locator("#search").evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_keys_stay_with_the_field_that_is_typed_in(page):
    page.mouse.click(*place(page, 0))
    before = title(page)
    page.locator("#search").focus()
    page.keyboard.type("c n/")
    assert page.input_value("#search") == "c n/"
    assert title(page) == before
    assert page.evaluate("document.getElementById('player').paused")


def test_the_sound_inside_is_the_clip(page, sounding_graph, corpus_folder):
    """What the browser gets is decoded here: the right clips, in the right order."""
    for clip, source in itertools.islice(enumerate(sounds(page)), 3):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(source.split(",")[1])))
        original, _ = soundfile.read(corpus_folder / sounding_graph.table.index[clip])
        levels = [np.abs(np.fft.rfft(part[: rate // 4])) for part in (samples, original)]
        assert np.corrcoef(levels)[0, 1] > 0.5
