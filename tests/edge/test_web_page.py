"""The folder of a page that listens: what is in it, and that mistakes leave nothing."""

import json

import numpy as np
import onnx
import pytest
import soundfile

from ser_graph.edge import web_page
from ser_graph.edge.exporting import export
from ser_graph.edge.nearest import nearest_of_graph
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.edge.onnxruntime_web import FILES, VERSION
from ser_graph.edge.web_clips import write_clips, write_sounds
from ser_graph.edge.web_page import export_page
from ser_graph.errors import InputError
from ser_graph.graph import save_graph


@pytest.fixture
def package(tmp_path):
    """Stands for the npm package onnxruntime-web, which these tests do not run."""
    folder = tmp_path / "package"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": VERSION}))
    for name in FILES:
        (folder / "dist" / name).write_text(name)
    return folder


def test_a_page_has_all_that_it_needs(student, package, toy_graph, tmp_path):
    out = tmp_path / "page"
    how = {"format": "web", "int8": True, "clips": toy_graph, "progress": False, "onnxruntime_web_folder": package}
    assert export(student, out, **how) == out
    assert OnnxStudent(out / "model.onnx").precision == "int8"
    outputs = onnx.load(out / "model.onnx").graph.output
    assert [value.name for value in outputs] == ["probabilities", "fc1", "spectrogram"]
    said = json.loads((out / web_page.MARK).read_text("utf-8"))
    assert said["title"] == "resnet9 on toy" and said["licence"] == "not stated"
    assert said["colors"].keys() == set(student.emotions) and said["onnxruntime_web"] == VERSION
    assert {*FILES, "onnxruntime-LICENSE", "index.html", "main.mjs"} <= {file.name for file in out.iterdir()}
    for file in out.iterdir():  # every module that is imported is there, and no address of another machine
        if file.suffix in {".mjs", ".html", ".css"} and file.name not in FILES:
            text = file.read_text("utf-8")
            assert "https://" not in text.replace("by https://", "").replace("http://localhost", "")
            for line in text.splitlines():
                if line.startswith("import ") and " from " in line:
                    assert (out / line.split('"')[1]).exists(), line


def test_the_page_of_a_ready_model_names_its_licence(package, tmp_path):
    export_page("ready:small", tmp_path / "page", onnxruntime_web_folder=package, progress=False)
    said = json.loads((tmp_path / "page" / web_page.MARK).read_text("utf-8"))
    assert "not for commercial use" in said["licence"] and "five emotions" in said["title"]


def test_a_page_replaces_only_a_page(student, package, tmp_path):
    out = tmp_path / "page"
    how = {"onnxruntime_web_folder": package, "progress": False}
    export_page(student, out, about={"title": "first"}, **how)
    export_page(student, out, about={"title": "second", "licence": "CC0"}, **how)
    said = json.loads((out / web_page.MARK).read_text("utf-8"))
    assert (said["title"], said["licence"]) == ("second", "CC0")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("mine")
    with pytest.raises(InputError, match="holds other things"):
        export_page(student, site, **how)
    assert (site / "index.html").read_text() == "mine"


def test_mistakes_leave_nothing(student, package, tmp_path):
    before = set(tmp_path.iterdir())
    for out, settings, words in [
        ("page", {"onnxruntime_web_folder": tmp_path / "none"}, "is no npm package"),
        ("page", {"onnxruntime_web_folder": package, "sounds": True}, "give the graph too"),
        ("page", {"onnxruntime_web_folder": package, "int8": True}, "int8 needs clips"),
        ("page.onnx", {"onnxruntime_web_folder": package}, "Bad name .*page.onnx for the format web, expected the"),
        ("page", {"onnxruntime_web_folder": package, "format": "onnx"}, "can be given for the format web only"),
    ]:
        with pytest.raises(InputError, match=words):
            export(student, tmp_path / out, **{"format": "web", "progress": False, **settings})
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [
        ("x.tflite", "onnx", "a name that ends with .onnx"),
        ("x.pte", "onnx", "a name that ends with .onnx"),
        ("x.ONNX", "executorch", "a name that ends with .pte"),
        ("x.html", "web", "the name of a folder"),
    ],
)
def test_a_name_of_another_format_is_refused(call, student, tmp_path, name, format, expected):
    folder = student.save(tmp_path / "student")
    code, _, error = call("export", folder, "--format", format, "--out", tmp_path / name)
    assert code == 1
    assert error == f"Error: Bad name {tmp_path / name} for the format {format}, expected {expected}\n"
    assert not (tmp_path / name).exists()


def test_the_command_says_how_to_open_the_page(call, student, package, tmp_path):
    folder, out = student.save(tmp_path / "student"), tmp_path / "page"
    options = ["--format", "web", "--out", out, "--onnxruntime-web", package, "--title", "Mine", "--licence", "MIT"]
    code, text, _ = call("export", folder, *options)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    assert code == 0
    assert text.splitlines() == [
        f"web folder of {size:.2f} MB: {out}",
        f"Run 'python -m http.server --directory {out}' and open http://localhost:8000",
    ]
    assert json.loads((out / web_page.MARK).read_text("utf-8"))["title"] == "Mine"


def test_clips_of_the_graph_are_those_of_nearest(student, exported, package, toy_graph, tmp_path):
    """Each clip that the page has is nearest to itself, and only labelled training clips are in the page."""
    graph, out = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "page"
    export_page(student, out, graph=graph, onnxruntime_web_folder=package, progress=False)
    clips = json.loads((out / "clips.json").read_text("utf-8"))
    assert set(clips["files"]) == set(toy_graph.table.index[toy_graph.table["split"] == "train"])
    assert clips["emotions"] == toy_graph.table.loc[clips["files"], "emotion"].tolist() and not clips["sounds"]
    assert not list(out.glob("*.mp3"))  # other people's sound only if asked for
    unit = np.fromfile(out / "clips.bin", "<f4").reshape(len(clips["files"]), -1)
    model = OnnxStudent(exported)
    rows = toy_graph.table.index.get_indexer(clips["files"])
    fc1 = model.of_spectrograms(toy_graph.x.numpy()[rows])[1]
    for row, ((file, emotion, similarity), *_) in enumerate(
        nearest_of_graph(model, toy_graph, progress=False)(fc1)
    ):
        best = int((unit @ fc1[row]).argmax())
        assert (clips["files"][best], clips["emotions"][best]) == (file, emotion)
        assert unit[best] @ fc1[row] / np.linalg.norm(fc1[row]) == pytest.approx(similarity, abs=1e-4)


def test_no_more_clips_than_allowed_and_with_their_sound(exported, toy_graph, make_clips, tmp_path):
    make_clips(*toy_graph.table.index, folder=tmp_path / "corpus")
    toy_graph.table.attrs["root"] = str(tmp_path / "corpus")
    out = tmp_path / "page"
    out.mkdir()
    clips = nearest_of_graph(OnnxStudent(exported), toy_graph, n_clips=5, progress=False)
    write_clips(out, clips, sounds=True)
    write_sounds(out, toy_graph.table.loc[clips.files], 16_000, progress=False)
    files = json.loads((out / "clips.json").read_text("utf-8"))["files"]
    assert len(files) == 5 == len(list(out.glob("*.mp3")))
    for number, file in enumerate(files):
        sound, rate = soundfile.read(out / f"clip-{number}.mp3")
        wanted, _ = soundfile.read(tmp_path / "corpus" / file)
        n = min(len(sound), len(wanted))
        assert rate == 16_000 and np.corrcoef(sound[:n], wanted[:n])[0, 1] > 0.8
