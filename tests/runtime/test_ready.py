"""Models that the package brings are named; none need be there."""

import shutil

import numpy as np
import pytest

from ser_graph_runtime import InputError, Recogniser, ready, ready_models


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(ready, "FOLDER", tmp_path / "ready")
    return tmp_path / "ready"


def test_a_model_is_found_by_its_name(folder, variant):
    folder.mkdir()
    for name in ("small", "good"):
        shutil.copy(variant(title=f"The {name} one", licence="MIT"), folder / f"{name}.onnx")
    assert list(ready_models()) == ["ready:good", "ready:small"]
    assert ready_models()["ready:good"].title == "The good one" and ready_models()["ready:good"].licence == "MIT"
    recogniser = Recogniser()
    assert recogniser.model.path == folder / "good.onnx"
    assert recogniser(np.full(100, 0.1), 16_000).emotion in recogniser.emotions
    with pytest.raises(
        InputError,
        match=r"^Bad model 'ready:god', .* \['ready:good', 'ready:small'\]; did you mean 'ready:good'\?$",
    ):
        Recogniser("ready:god")


def test_without_models_only_files_are_accepted(folder, example):
    assert ready_models() == {}
    with pytest.raises(InputError, match=r"^Bad model 'ready:good', expected a file or one of \[\]$"):
        Recogniser()
    for path in (example, str(example)):
        assert Recogniser(path).model.path == example
    for path in ("good.onnx", "models/good", "good"):
        with pytest.raises(InputError, match=f"^No file {path}; make one"):
            Recogniser(path)


def test_the_models_that_are_shipped_are_whole():
    assert {"ready:good", "ready:small"} <= set(ready_models())
    for name, model in ready_models().items():
        assert model.title and model.licence and model.attribution, name
