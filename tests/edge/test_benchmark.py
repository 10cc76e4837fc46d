"""The table of models side by side. Nothing is said of how long anything takes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ser_graph.downstream import predict_clips
from ser_graph.edge.benchmark import bench, format_bench
from ser_graph.errors import InputError
from ser_graph.evaluation import uar
from ser_graph.graph import save_graph
from ser_graph.upstream import Upstream


@pytest.fixture(scope="module")
def shelf(_toy_graph, student, exported, exported_int8, tmp_path_factory):
    """A folder with a graph, a student trained on it, that student exported, and a teacher."""
    root = tmp_path_factory.mktemp("shelf")
    save_graph(_toy_graph, root / "graph")
    student.save(root / "student")
    shutil.copy(exported, root / "whole.onnx")
    shutil.copy(exported_int8, root / "int8.onnx")
    Upstream.small().save(root / "teacher")
    return root, student


@pytest.mark.slow
def test_models_side_by_side(call, shelf, toy_graph):
    root, trained = shelf
    models = [root / "student", root / "whole.onnx", root / "int8.onnx"]
    code, text, _ = call(
        "bench", *models, "--graph", root / "graph", "--teacher", root / "teacher", "--repeats", 2, "--json"
    )
    said = json.loads(text)
    table = pd.DataFrame(said["models"]).set_index("model")
    assert code == 0 and list(table.index) == ["student", "whole.onnx", "int8.onnx", "teacher"]
    assert list(table["kind"]) == ["torch float32", "onnx float32", "onnx int8", "teacher float32"]
    mine = table.iloc[:3]
    assert (mine["params"] == trained.n_params / 1e6).all()
    assert np.allclose(mine["macs"], trained.macs / 1e6) and table.loc["teacher", "macs"] > 0
    assert np.allclose(table.loc["whole.onnx", "size_mb"], (root / "whole.onnx").stat().st_size / 1e6)
    assert (table["memory_mb"] > 30).all() and table.loc["whole.onnx", "memory_mb"] < table.loc[
        "student", "memory_mb"
    ]
    assert (table["p50_ms"] > 0).all() and (table["p95_ms"] >= table["p50_ms"]).all()
    assert np.allclose(table["rtf"], table["p50_ms"] / 1000 / 0.512, rtol=1e-3)
    predictions = predict_clips(trained, toy_graph, "test")
    meant = uar(predictions["emotion"], predictions["predicted"])
    assert table["uar"].tolist()[:2] == pytest.approx([meant, meant]) and np.isnan(table.loc["teacher", "uar"])
    assert meant > 0.5 and abs(table.loc["int8.onnx", "uar"] - meant) <= 0.005
    (about_int8,) = [note for note in said["notes"] if note.startswith("int8.onnx: int8 ")]
    slower = table.loc["int8.onnx", "p50_ms"] > table.loc["whole.onnx", "p50_ms"]
    assert ("slower here than float32" in about_int8) == slower
    assert not [note for note in said["notes"] if "Not trained on this graph" in note]


def test_voices_are_not_known_but_for_uar(hearing, hearing_exported, toy_graph, tmp_path):
    graph = save_graph(toy_graph, tmp_path / "graph")
    table = bench([hearing_exported], graph=graph, repeats=1, progress=False)
    meant = predict_clips(hearing, toy_graph, "test")
    assert table["uar"].tolist() == pytest.approx([uar(meant["emotion"], meant["predicted"])])
    assert (table["p50_ms"] > 0).all() and "normalises_by_speaker" not in table
    assert table.attrs["notes"][-1] == (
        "Normalised by speaker: uar uses the statistics of all clips of each speaker, without labels: hearing.onnx."
    )


def test_words_under_the_table():
    rows = {
        "model": ["a.onnx", "b.onnx"],
        "kind": ["onnx float32", "onnx int8"],
        "params": [4.4, 4.4],
        "size_mb": [17.9, 4.6],
        "memory_mb": [101.4, 80.0],
        "p50_ms": [10.0, 12.5],
        "p95_ms": [11.0, 13.0],
        "rtf": [0.0017, 0.0021],
        "macs": [1234.0, 1234.0],
        "uar": [0.4321, np.nan],
    }
    table = pd.DataFrame(rows).set_index("model")
    table.attrs["notes"] = ["One clip."]
    lines = format_bench(table).splitlines()
    assert lines[2].split() == [
        "a.onnx",
        "onnx",
        "float32",
        "4.4",
        "17.9",
        "101",
        "10.0",
        "11.0",
        "0.0017",
        "1,234",
        "0.432",
    ]
    assert lines[3].split()[-1] == "-" and lines[-1] == "One clip."


def test_int8_that_is_slower_is_said(monkeypatch):
    def row(asked):
        kind, time, size = {
            "a": ("onnx float32", 10.0, 20.0),
            "b": ("onnx int8", 15.0, 5.0),
            "c": ("onnx int8", 5.0, 5.0),
        }[asked["model"]]
        return {
            "model": asked["model"],
            "kind": kind,
            "p50_ms": time,
            "size_mb": size,
            "student": "s",
            "seconds": 6.0,
            "normalises_by_speaker": False,
        }

    monkeypatch.setattr("ser_graph.edge.benchmark._in_a_process", row)
    monkeypatch.setattr("ser_graph.edge.benchmark._graph", lambda folder: folder)
    monkeypatch.setattr(
        "ser_graph.edge.benchmark._recognised", lambda model, *_: {"uar": 0.5, "own_graph": model != "c"}
    )
    _, slower, faster, foreign = bench(["a", "b", "c"], graph="g", progress=False).attrs["notes"]
    assert slower == (
        "b: int8 is slower here than float32 (1.50 times its time); it only saves size (4.0 times smaller)."
    )
    assert faster == "c: int8 takes 0.50 times the time of float32."
    assert foreign == "Not trained on this graph, so its test clips may have been training clips: c."


def test_mistakes_are_one_line(call, shelf, toy_graph, tmp_path):
    root, _ = shelf
    shutil.copy(root / "int8.onnx", tmp_path / "half.onnx")
    with (tmp_path / "half.onnx").open("r+b") as file:
        file.truncate(10_000)
    toy_graph.table = toy_graph.table.assign(emotion=toy_graph.table["emotion"].replace("anger", "joy"))
    other = save_graph(toy_graph, tmp_path / "graph")
    for arguments, words in [
        ((tmp_path / "half.onnx",), "truncated"),
        ((root / "int8.onnx", "--graph", other), "does not fit the model"),
        ((root / "int8.onnx", "--graph", root), "is not a stored graph"),
    ]:
        code, out, error = call("bench", *arguments, "--repeats", 1)
        lines = [line for line in error.replace("\r", "\n").splitlines() if line.strip()]
        assert code == 1 and not out and len(lines) == 1 and words in lines[0], error
    with pytest.raises(InputError, match="No model to measure"):
        bench([])
    with pytest.raises(InputError, match="Bad repeats 0"):
        bench(["a"], repeats=0)
