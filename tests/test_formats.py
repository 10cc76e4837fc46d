"""The stored formats: a small example of each, kept as it was written, is read back. It is never written anew.

A change of a format either still reads the example, or raises the format's version and adds an example beside it.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ser_graph as sg
from ser_graph.downstream import predict_clips, student as student_module
from ser_graph.edge.onnx_student import OnnxStudent
from ser_graph.graph import stored
from ser_graph_runtime import metadata as exported
from ser_graph_runtime.nearest import NEAREST_VERSION, load_nearest

EXAMPLES = Path(__file__).parent / "formats"
FILES = [f"clips/{number}.wav" for number in range(6)]
P_ANGER = [0.614027, 0.419735, 0.469343, 0.509870, 0.999972, 0.997368]


@pytest.fixture
def graph():
    return sg.load_graph(EXAMPLES / "graph")


def test_a_graph_is_read_back(graph):
    assert graph.table.index.tolist() == FILES
    assert graph.table["split"].tolist() == ["train"] * 4 + ["dev", "test"]
    assert graph.emotions == ["anger", "fear"] and graph.y.tolist() == [0, 1, 0, 1, -1, 0]
    assert tuple(graph.x.shape) == (6, 7, 16) and graph.x.dtype == torch.float16
    assert tuple(graph.emb.shape) == (6, 4) and tuple(graph.edge_index.shape) == (2, 8)
    assert graph.meta.settings == sg.GraphSettings(epsilon=None, n_neighbors=2)
    assert graph.meta.features == sg.LogMelSettings(n_samples=2048, n_mels=16)
    assert graph.meta.measured.coverage == 1 and graph.meta.corpus == "example"


def test_a_student_is_read_back(graph):
    student = sg.load_student(EXAMPLES / "student")
    assert student.info["backbone"] == "mobilenet15" and student.info["settings"]["method"] == "baseline"
    table = predict_clips(student, graph)
    assert table.index.tolist() == FILES
    np.testing.assert_allclose(table["p_anger"], P_ANGER, atol=1e-4)


def test_an_exported_student_is_read_back(graph):
    table = sg.predict(EXAMPLES / "student.onnx", graph, progress=False)
    np.testing.assert_allclose(table["p_anger"], P_ANGER, atol=1e-3)
    silence = sg.predict(EXAMPLES / "student.onnx", (np.full(4096, 1e-3, np.float32), 16_000), progress=False)
    assert isinstance(silence, pd.DataFrame) and len(silence) == 2


def test_its_nearest_clips_are_read_back(graph):
    path = EXAMPLES / "student.onnx"
    stored = load_nearest(EXAMPLES / "student.nearest.npz", path, k=1)
    assert (stored.files, stored.emotions) == (FILES[:4], ["anger", "fear", "anger", "fear"])
    _, fc1 = OnnxStudent(path).of_spectrograms(graph.x[:4].numpy())
    assert [near[0][0] for near in stored(fc1)] == FILES[:4]
    with np.load(EXAMPLES / "student.nearest.npz", allow_pickle=False) as arrays:
        assert arrays["version"] == NEAREST_VERSION


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("graph/meta.json", stored.FORMAT_VERSION),
        ("student/model.json", student_module.FORMAT_VERSION),
    ],
)
def test_the_newest_version_has_an_example(file, version):
    assert json.loads((EXAMPLES / file).read_text("utf-8"))["version"] == version


def test_the_newest_exported_version_has_an_example():
    onnx = pytest.importorskip("onnx")
    metadata = {one.key: one.value for one in onnx.load(EXAMPLES / "student.onnx").metadata_props}
    assert f'"version": {exported.FORMAT_VERSION}' in "".join(metadata.values())
