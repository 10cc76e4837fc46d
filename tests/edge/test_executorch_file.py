"""An ExecuTorch program says what the student says; skipped where the extra is not installed."""

import json

import pytest
import torch

from ser_graph.edge.exporting import export
from ser_graph.errors import InputError


def test_program_says_what_the_student_says(student, clip, tmp_path):
    pytest.importorskip("executorch.exir", exc_type=ImportError)
    runtime = pytest.importorskip("executorch.runtime", exc_type=ImportError)
    path = export(student, tmp_path / "student.pte", format="executorch", progress=False)
    program = runtime.Runtime.get().load_program(path)
    waveform, said = clip
    found = program.load_method("forward").execute([waveform])
    torch.testing.assert_close(tuple(found), said, rtol=0, atol=1e-4)
    (metadata,) = program.load_method("ser_graph").execute([])
    assert json.loads(metadata)["emotions"] == student.emotions


def test_mistakes_leave_no_file(student, tmp_path, monkeypatch):
    out = tmp_path / "student.pte"
    with pytest.raises(InputError, match="int8 is of the formats onnx, litert and web, not of executorch"):
        export(student, out, format="executorch", int8=True, progress=False)
    monkeypatch.setitem(__import__("sys").modules, "executorch.exir", None)
    with pytest.raises(InputError, match=r"executorch is not installed; run pip install 'ser-graph\[executorch\]'"):
        export(student, out, format="executorch", progress=False)
    assert not list(tmp_path.iterdir())
