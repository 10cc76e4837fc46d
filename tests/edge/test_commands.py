"""The device's commands by hand, what they say of mistakes, and that an exported model needs no torch."""

import io
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
from onnx import numpy_helper

from ser_graph.downstream import predict_clips
from ser_graph.evaluation import expected_calibration_error, fit_temperature, with_temperature
from ser_graph.graph import save_graph
from ser_graph_runtime.nearest import load_nearest
from ser_graph_runtime.onnx_model import OnnxModel

ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])


@pytest.fixture
def folder(make_clips, tmp_path):
    return make_clips("a.wav", "b.wav", folder=tmp_path / "speech")


@pytest.fixture
def pipe(monkeypatch):
    """Bytes on standard input."""

    def fill(content):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))

    return fill


def one_line(error):
    lines = [line for line in error.replace("\r", "\n").splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("Error: "), error
    return lines[0]


def test_export_to_int8_on_the_graph_of_the_run(call, student, toy_graph, tmp_path):
    folder = student.save(tmp_path / "run" / "students" / "cnn")
    save_graph(toy_graph, tmp_path / "run" / "graph")
    out = tmp_path / "cnn.onnx"
    code, text, error = call("export", folder, "--int8", "--out", out)
    assert [line for line in error.replace("\r", "\n").splitlines() if line.strip()] == []
    assert code == 0 and f"onnx file of {out.stat().st_size / 1e6:.2f} MB (int8): {out}" in text
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}


def test_export_with_a_graph_calibrates_and_stores_what_is_similar(call, student, toy_graph, tmp_path):
    folder, graph = student.save(tmp_path / "cnn"), save_graph(toy_graph, tmp_path / "graph")
    out = tmp_path / "cnn.onnx"
    code, text, _ = call("export", folder, "--graph", graph, "--unsure-below", 0.7, "--out", out)
    assert code == 0 and len(text.splitlines()) == 2
    dev = predict_clips(student, toy_graph, "dev")
    temperature = fit_temperature(dev)
    before, after = (expected_calibration_error(one) for one in (dev, with_temperature(dev, temperature)))
    fitted = f"temperature {temperature:.2f}, fitted on 15 dev clips"
    assert text.splitlines()[0] == f"{fitted}: expected calibration error {before:.3f} -> {after:.3f}"
    model = OnnxModel(out)
    assert model.threshold == 0.7 and model.temperature == pytest.approx(temperature, rel=1e-4)
    assert load_nearest(tmp_path / "cnn.nearest.npz", out).files == list(toy_graph.table.index[:75])


def test_what_no_dev_clip_can_calibrate_keeps_temperature_one(call, student, toy_graph, tmp_path):
    folder, out = student.save(tmp_path / "cnn"), tmp_path / "cnn.onnx"
    toy_graph.table = toy_graph.table.assign(
        emotion=toy_graph.table["emotion"].where(toy_graph.table["split"] != "dev")
    )
    graph = save_graph(toy_graph, tmp_path / "graph")
    code, text, _ = call("export", folder, "--graph", graph, "--out", out)
    assert code == 0 and "temperature 1: the graph has no labelled dev clip" in text
    assert (OnnxModel(out).temperature, OnnxModel(out).threshold) == (1.0, 0.0)
    description = json.loads((folder / "model.json").read_text("utf-8"))
    description["info"]["settings"]["protocol"] = "paper"
    (folder / "model.json").write_text(json.dumps(description), "utf-8")
    code, text, _ = call("export", folder, "--graph", graph, "--out", out)
    assert code == 0 and "temperature 1: the student was trained on the dev clips too" in text


def test_predict_prints_or_writes_a_table(call, exported, student, toy_graph, folder, tmp_path):
    code, text, _ = call("predict", "--model", exported, folder)
    assert code == 0 and [line.split()[0] for line in text.splitlines()] == ["start", "file", "a.wav", "b.wav"]
    graph, out = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "p.csv"
    for model in (exported, student.save(tmp_path / "student")):
        code, text, _ = call("predict", "--model", model, folder, "--graph", graph, "--n-nearest", 1, "--out", out)
        assert code == 0 and text == f"2 rows in {out}\n"
    table = pd.read_csv(out, index_col="file")
    assert list(table.index) == ["a.wav", "b.wav"]
    assert list(table)[-4:] == ["itself", "near_1", "near_1_emotion", "near_1_similarity"]
    assert set(table["near_1"]) <= set(toy_graph.table.index)


def test_predict_reads_a_stream_line_by_line(call, exported, pipe, toy_graph, tmp_path):
    graph, out = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "p.csv"
    samples = (np.random.default_rng(0).normal(0, 0.1, 20_000) * 32767).astype("<i2")
    pipe(samples.tobytes())
    code, text, _ = call("predict", "--model", exported, "-", "--rate", 16_000, "--graph", graph, "--out", out)
    lines = text.splitlines()
    assert code == 0 and [line.split()[0] for line in lines] == ["0.00-0.51", "0.51-1.02", "0.74-1.25"]
    assert all(" | nearest: s" in line and ", similarity 0." in line for line in lines)
    table = pd.read_csv(out, index_col="file")
    assert list(table.index) == ["-"] * 3 and table["end"].tolist() == [0.512, 1.024, 1.25]
    soundfile.write(tmp_path / "same.wav", samples, 16_000)
    pipe((tmp_path / "same.wav").read_bytes())
    assert call("predict", "--model", exported, "-", "--graph", graph)[1] == text


def test_a_bad_file_is_named_and_the_exit_code_says_so(call, exported, folder, tmp_path):
    (folder / "a.wav").write_text("no sound")
    out = tmp_path / "p.csv"
    code, _, error = call("predict", "--model", exported, folder, "--out", out)
    assert code == 1 and "1 file could not be read (a.wav)" in error
    assert "a.wav cannot be used (not audio: it starts with" in error and "Traceback" not in error
    assert list(pd.read_csv(out)["file"]) == ["b.wav"]


def test_what_was_heard_outlasts_a_stream_that_breaks(call, exported, pipe, tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    samples[12_000] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, 16_000, subtype="FLOAT")
    pipe((tmp_path / "bad.wav").read_bytes())
    code, text, error = call("predict", "--model", exported, "-", "--out", tmp_path / "p.csv")
    assert code == 1 and "from 0.51 to 1.02 s holds samples up to nan" in one_line(error)
    assert len(text.splitlines()) == 1
    assert pd.read_csv(tmp_path / "p.csv")["end"].tolist() == [0.512]


def test_a_file_stays_until_something_is_heard(call, exported, pipe, tmp_path):
    out = tmp_path / "p.csv"
    out.write_text("precious")
    for content, rate in ((bytes(4000), ()), (b"", ("--rate", 16_000))):
        pipe(content)
        assert call("predict", "--model", exported, "-", *rate, "--out", out)[0] == 1
        assert out.read_text() == "precious"


def test_whoever_reads_may_stop_reading(exported, tmp_path):
    samples = (np.random.default_rng(0).normal(0, 0.1, 200_000) * 32767).astype("<i2")
    (tmp_path / "sound.raw").write_bytes(samples.tobytes())
    program = f"{sys.executable} -m ser_graph predict --model {exported} - --rate 16000 --out p.csv"
    command = f"(cat sound.raw; sleep 1; cat sound.raw) | {program} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("0.00-0.51 s: ") and done.stderr == ""
    assert len(pd.read_csv(tmp_path / "p.csv")) >= 1


def test_nothing_is_computed_for_a_place_where_nothing_can_be_written(call, exported, folder, toy_graph, tmp_path):
    graph, precious = save_graph(toy_graph, tmp_path / "graph"), tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    for arguments, words in [
        (("predict", "--model", exported, folder, "--out", precious), "is a folder, expected the name of a file"),
        (("train", graph, "--out", precious), "holds other things (thesis.txt)"),
        (("build", "table", folder, "--upstream", "small", "--out", precious), "holds other things (thesis.txt)"),
        (
            ("finetune", "table", folder, "--upstream", "small", "--out", precious),
            "holds other things (thesis.txt)",
        ),
        (("finetune", "table", folder, "--upstream", "small", "--out", "/"), "holds other things"),
    ]:
        code, text, error = call(*arguments)
        assert (code, text) == (1, "") and words in one_line(error), (arguments, error)
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]


def test_weights_that_are_not_finite_are_not_blamed_on_the_sound(call, exported, folder, tmp_path):
    model = onnx.load(exported)
    weights = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT and one.dims)
    weights.CopyFrom(numpy_helper.from_array(np.full(list(weights.dims), np.nan, np.float32), weights.name))
    onnx.save(model, tmp_path / "bad.onnx")
    code, _, error = call("predict", "--model", tmp_path / "bad.onnx", folder)
    assert code == 1 and "bad.onnx holds weights that are not finite; export the student again" in one_line(error)


def test_mistakes_are_one_line(call, exported, student, folder, pipe, toy_graph, tmp_path):
    (folder / "text.wav").write_text("no sound")
    (tmp_path / "half.onnx").write_bytes(exported.read_bytes()[:100_000])
    toy_graph.table = toy_graph.table.assign(emotion=toy_graph.table["emotion"].replace("sadness", "joy"))
    graph = save_graph(toy_graph, tmp_path / "graph")
    out = tmp_path / "out.onnx"
    pipe(b"\0" * 40_000)
    for arguments, words in [
        (("predict", "--model", exported, folder / "text.wav"), "cannot be used (not audio"),
        (("predict", "--model", exported, folder, "--graph", graph), "does not fit the model"),
        (("evaluate", student.save(tmp_path / "student"), graph), "does not fit the model"),
        (("predict", "--model", exported, "-", "--rate", 900), "Bad rate 900, expected a whole number from 1,000"),
        (("predict", "--model", exported, "-"), "--rate"),
        (("predict", "--model", exported), "either files, folders or -, or --microphone"),
        (("predict", "--model", exported, folder, "--microphone"), "either files"),
        (("predict", "--model", exported, folder, "--window", 9), "at most 0.512 seconds"),
        (("predict", "--model", tmp_path / "half.onnx", folder), "truncated"),
        (("export", folder, "--out", out), "not a trained student"),
        (("export", folder, "--out", out, "--format", "tflite"), "Bad format 'tflite'"),
    ]:
        code, _, error = call(*arguments)
        assert code == 1 and words in one_line(error), (arguments, error)
    assert not out.exists()


def test_an_exported_model_needs_no_torch(exported, folder, toy_graph, tmp_path):
    """On the device there may be none: every kind of prediction, by the command line and in Python."""
    graph = save_graph(toy_graph, tmp_path / "graph")
    code = f"""
import sys, io, types
class NoTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "sklearn"): raise ImportError("there is no " + name)
sys.meta_path.insert(0, NoTorch())
from ser_graph.cli import main
def run(*arguments):
    sys.argv = ["ser-graph", "predict", "--model", {str(exported)!r}, *arguments]
    try: main()
    except SystemExit as stop: assert not stop.code, stop.code
run({str(folder)!r}, "--graph", {str(graph)!r})
sys.stdin = types.SimpleNamespace(buffer=io.BytesIO(b"\\0" * 40_000))
run("-", "--rate", "16000")
assert "pandas" in sys.modules and "scipy" not in sys.modules
import ser_graph as sg
print(len(sg.predict({str(exported)!r}, {str(folder)!r})), "rows")
"""
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "0.51-1.02 s" in done.stdout and done.stdout.endswith("2 rows\n")


def test_a_stream_needs_not_even_pandas(exported):
    code = f"""
import sys, io
from ser_graph.edge.streaming import listen
print(len(list(listen({str(exported)!r}, io.BytesIO(b"\\0" * 40_000), rate=16_000))))
print([name for name in ("torch", "pandas", "scipy", "sklearn") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "3\n[]\n"
