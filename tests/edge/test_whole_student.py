"""A student without an FFT says what the student says; the programs of phones are made from it."""

import pytest
import torch

from ser_graph.audio.log_mel import LogMel
from ser_graph.edge.exporting import export
from ser_graph.edge.whole_student import WholeStudent
from ser_graph.errors import InputError


def test_cosines_and_sines_give_the_same_spectrum(student, clip):
    waveform, said = clip
    with torch.inference_mode():
        found = WholeStudent(student)(waveform)
    torch.testing.assert_close(found, said, rtol=0, atol=1e-4)


def test_the_program_applies_the_temperature(student, clip):
    waveform, _ = clip
    with torch.inference_mode():
        logits = student(LogMel(student.features)(waveform)).logits
        found, _ = WholeStudent(student, 3.0)(waveform)
    torch.testing.assert_close(found, (logits / 3).softmax(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("format", ["executorch", "litert"])
def test_voices_and_nearest_clips_are_refused(hearing, student, toy_graph, tmp_path, format):
    for model, settings, words in [
        (hearing, {}, "normalises by speaker: export it with format='onnx'"),
        (student, {"nearest": toy_graph}, f"nearest is of the formats onnx and web, not of {format}"),
    ]:
        with pytest.raises(InputError, match=words):
            export(model, tmp_path / "a", format=format, progress=False, **settings)
    assert not list(tmp_path.iterdir())
