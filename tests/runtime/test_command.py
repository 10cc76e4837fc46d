"""The command line of the runtime: files, a pipe, the microphone, and one line for each mistake."""

import io
import subprocess
import sys
import types

import numpy as np
import pytest
import soundfile

from ser_graph_runtime.__main__ import main


@pytest.fixture
def call(capsys):
    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def pipe(monkeypatch):
    def fill(content):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))

    return fill


def test_silence_and_a_low_rate_are_one_line_each(call, example, make_clips, tmp_path):
    slow = make_clips("slow.wav", rate=8_000, seconds=0.1) / "slow.wav"
    soundfile.write(tmp_path / "silent.wav", np.zeros(1_000), 16_000)
    code, text, error = call("--model", example, slow, tmp_path / "silent.wav")
    assert code == 0 and text.splitlines()[1] == f"{tmp_path / 'silent.wav'}: 0.00-0.06 s: silence"
    assert error == (
        f"Warning: {slow} has 8,000 samples a second. The model has learnt from 16,000: the high frequencies are "
        "missing\n"
    )


def test_each_window_is_a_line(call, example, make_clips, pipe):
    folder = make_clips("a.wav", "b.wav")
    code, text, error = call("--model", example, folder, "--hop", 0.1)
    lines = text.splitlines()
    assert (code, error) == (0, "") and len(lines) == 4
    assert lines[0].startswith(f"{folder / 'a.wav'}: 0.00-0.13 s: ") and lines[3].startswith(
        f"{folder / 'b.wav'}: 0.07"
    )
    samples = (np.random.default_rng(0).normal(0, 0.1, 4_096) * 32_767).astype("<i2")
    pipe(samples.tobytes())
    code, text, _ = call("--model", example, "-", "--rate", 16_000)
    assert code == 0 and [line.split()[0] for line in text.splitlines()] == ["0.00-0.13", "0.13-0.26"]


def test_a_bad_file_is_named_and_the_exit_code_says_so(call, example, make_clips):
    folder = make_clips("b.wav")
    (folder / "a.wav").write_text("no sound")
    code, text, error = call("--model", example, folder)
    assert code == 1 and len(text.splitlines()) == 2
    assert error.startswith("Error: ") and "a.wav cannot be used (not audio" in error and error.count("\n") == 1


def test_mistakes_are_one_line(call, example, make_clips, pipe, tmp_path, monkeypatch):
    folder = make_clips("a.wav")
    pipe(bytes(100))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for arguments, words in [
        (("--model", example), "Give either files, folders or -, or --microphone"),
        (("--model", example, folder, "--microphone"), "Give either"),
        (("--model", example, "-", folder), "Give either"),
        (("--model", example, "-"), "Raw PCM does not contain its rate"),
        (("--model", example, folder, "--rate", 8_000), "--rate is for raw PCM"),
        (
            ("--model", example, "--microphone"),
            "sounddevice is not installed; run pip install 'ser-graph-runtime[microphone]'",
        ),
        (("--model", example, tmp_path / "gone"), "No file or folder"),
        (("--model", example, folder, "--hop", 9), "Bad hop 9.0"),
        (("--model", example, folder, "--nearest", tmp_path / "no.npz"), "No file"),
        (("--model", "ready:god", folder), "Bad model 'ready:god', expected a file or one of ["),
        (("--model", tmp_path / "no.onnx", folder), "No file"),
    ]:
        code, text, error = call(*arguments)
        assert (code, text) == (1, "") and words in error, (arguments, error)
        assert error.startswith("Error: ") and error.count("\n") == 1
    assert call("--model", example, folder, "--speed", 2)[0] == 2  # argparse says which options there are


def test_standard_input_may_be_closed(call, example, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "Standard input is closed" in call("--model", example, "-", "--rate", 16_000)[2]


def test_whoever_reads_may_stop_reading(example, tmp_path):
    samples = (np.random.default_rng(0).normal(0, 0.1, 100_000) * 32_767).astype("<i2")
    (tmp_path / "sound.raw").write_bytes(samples.tobytes())
    program = f"{sys.executable} -m ser_graph_runtime --model {example} - --rate 16000"
    command = f"(cat sound.raw; sleep 1; cat sound.raw) | {program} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("0.00-0.13 s: ") and done.stderr == ""
