"""Exported models with damaged metadata."""

import json
import random

import onnx
import pytest

from ser_graph_runtime.metadata import METADATA_KEY, checked_metadata
from ser_graph_runtime.onnx_model import OnnxModel

MOST = 2**24  # bytes


@pytest.fixture(scope="module")
def stored(formats):
    model = onnx.load(formats / "student.onnx")
    (found,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    return json.loads(found.value)


def test_metadata(stored, trials, mutated_json):
    rng = random.Random(0)
    for number in trials.numbers(600):
        content = mutated_json(rng, stored).decode("utf-8", "replace")
        reader = lambda content=content: checked_metadata(content, "a.onnx")  # noqa: E731
        found = trials(f"{number} {content[:80]!r}", reader, most_bytes=MOST, naming="a.onnx")
        if found is not None:
            trials.expect(number, len(set(found["emotions"])) == len(found["emotions"]) > 0)


def test_files(formats, tmp_path, trials, damaged, capfd):
    rng, path = random.Random(1), tmp_path / "student.onnx"
    whole = (formats / "student.onnx").read_bytes()
    for number in trials.numbers(200):
        path.write_bytes(damaged(rng, whole))
        model = trials(number, lambda: OnnxModel(path), most_bytes=MOST, naming=str(path))
        if model is not None:
            trials.expect(number, model.emotions == ["anger", "fear"] or len(model.emotions) == 2)
    assert not "".join(capfd.readouterr()), "onnxruntime printed lines of its own"
