"""An ExecuTorch program says what the student says; skipped where the extra is not installed."""

import json

import pytest
import torch

from ser_graph.audio.log_mel import LogMel
from ser_graph.edge.executorch_file import WholeStudent
from ser_graph.edge.exporting import export
from ser_graph.errors import InputError


def clip(student):
    return 0.1 * torch.randn(1, student.features.n_samples, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def by_torch(student, waveform):
    output = student(LogMel(student.features)(waveform))
    return output.logits.softmax(1), output.fc1


def test_cosines_and_sines_give_the_same_spectrum(student):
    waveform = clip(student)
    with torch.inference_mode():
        found = WholeStudent(student)(waveform)
    torch.testing.assert_close(found, by_torch(student, waveform), rtol=0, atol=1e-4)


def test_the_program_applies_the_temperature(student):
    waveform = clip(student)
    with torch.inference_mode():
        logits = student(LogMel(student.features)(waveform)).logits
        found, _ = WholeStudent(student, 3.0)(waveform)
    torch.testing.assert_close(found, (logits / 3).softmax(1), rtol=0, atol=1e-4)


def test_program_says_what_the_student_says(student, tmp_path):
    pytest.importorskip("executorch.exir", exc_type=ImportError)
    runtime = pytest.importorskip("executorch.runtime", exc_type=ImportError)
    path = export(student, tmp_path / "student.pte", format="executorch", progress=False)
    program = runtime.Runtime.get().load_program(path)
    waveform = clip(student)
    found = program.load_method("forward").execute([waveform])
    torch.testing.assert_close(tuple(found), by_torch(student, waveform), rtol=0, atol=1e-4)
    (metadata,) = program.load_method("ser_graph").execute([])
    assert json.loads(metadata)["emotions"] == student.emotions


def test_mistakes_leave_no_file(student, tmp_path, monkeypatch):
    out = tmp_path / "student.pte"
    with pytest.raises(InputError, match="int8 is of the format onnx"):
        export(student, out, format="executorch", int8=True, progress=False)
    monkeypatch.setitem(__import__("sys").modules, "executorch.exir", None)
    with pytest.raises(InputError, match=r"executorch is not installed; run pip install 'ser-graph\[executorch\]'"):
        export(student, out, format="executorch", progress=False)
    assert not list(tmp_path.iterdir())
