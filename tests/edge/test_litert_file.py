"""A LiteRT model says what the student says; skipped where the extra is not installed."""

import json

import numpy as np
import pytest
import torch

from ser_graph.edge.exporting import export
from ser_graph.errors import InputError


@pytest.fixture(scope="module")
def interpreters(student, tmp_path_factory):
    """The model in float32 and in int8: its bytes, and LiteRT's interpreter of it."""
    pytest.importorskip("litert_torch", exc_type=ImportError)
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", exc_type=ImportError).Interpreter
    made = {}
    for int8 in (False, True):
        out = tmp_path_factory.mktemp("litert") / "student.tflite"
        export(student, out, format="litert", int8=int8, temperature=2.0, progress=False)
        made[int8] = out.read_bytes(), interpreter(model_content=out.read_bytes(), num_threads=1)
    return made


def said_by(interpreter, waveform):
    """Probabilities and `fc1`, by the names that an app uses."""
    said = interpreter.get_signature_runner()(waveform=waveform.numpy())
    return said["probabilities"], said["fc1"]


@pytest.mark.slow
def test_model_says_what_the_student_says(interpreters, student, clip):
    waveform, (probabilities, fc1) = clip
    found = said_by(interpreters[False][1], waveform)
    assert found[0].shape == (1, len(student.emotions))
    halved = probabilities.sqrt()  # temperature 2
    np.testing.assert_allclose(found[0], halved / halved.sum(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[1], fc1, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_int8_is_near_to_float32(interpreters, student):
    generator = torch.Generator().manual_seed(5)
    loudness = torch.logspace(-3, 0, 12)
    clips = loudness[:, None] * torch.randn(12, student.features.n_samples, generator=generator)
    exact, rounded = (
        np.concatenate([said_by(interpreters[int8][1], one[None])[0] for one in clips]) for int8 in (False, True)
    )
    assert 0 < np.abs(exact - rounded).max() < 0.05 < np.ptp(exact, axis=0).max()


@pytest.mark.slow
def test_only_the_network_is_in_int8(interpreters, student):
    weights = {tuple(one["shape"]): one["dtype"] for one in interpreters[True][1].get_tensor_details()}
    n_fft = student.features.n_fft
    assert weights[n_fft + 2, n_fft] is np.float32  # the cosines and sines of the spectrogram
    assert sum(kind is np.int8 for kind in weights.values()) > 5
    assert len(interpreters[True][0]) < 0.5 * len(interpreters[False][0])


@pytest.mark.slow
def test_metadata_are_in_the_file(interpreters, student):
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    for int8, (content, _) in interpreters.items():
        model = schema.Model.GetRootAs(content)
        entries = [model.Metadata(number) for number in range(model.MetadataLength())]
        (buffer,) = [entry.Buffer() for entry in entries if entry.Name() == b"ser_graph"]
        metadata = json.loads(model.Buffers(buffer).DataAsNumpy().tobytes())
        assert metadata["emotions"] == student.emotions
        assert metadata["precision"] == ("int8" if int8 else "float32")


def test_without_the_extra_there_is_no_file(student, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "litert_torch", None)
    with pytest.raises(InputError, match=r"litert_torch is not installed; run pip install 'ser-graph\[litert\]'"):
        export(student, tmp_path / "student.tflite", format="litert", progress=False)
    assert not list(tmp_path.iterdir())
