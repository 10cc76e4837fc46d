"""The examples for devices predict what the runtime predicts; each runs where its own tools are installed."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ser_graph_runtime import Recogniser

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODEL = ROOT / "tests" / "formats" / "student.onnx"  # two emotions, windows of 2048 samples at 16 kHz
RATE, WINDOW = 16_000, 2048
HEADER = "onnxruntime_cxx_api.h"


@pytest.mark.parametrize("name", ["android/Predict.kt", "cpp/predict.cpp", "raspberry_pi/listen.sh"])
def test_examples_can_be_read_at_a_glance(name: str) -> None:
    lines = (EXAMPLES / name).read_text("utf-8").splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 116


def noise(n: int) -> np.ndarray:
    """Noise that grows louder, so that windows differ."""
    rng = np.random.default_rng(n)
    return (rng.normal(0, 1, n) * np.linspace(100, 8000, n)).astype("<i2")


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def listen(folder: Path, microphone: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the example for the Raspberry Pi with another program in place of arecord."""
    write_program(folder / "arecord", microphone)
    write_program(folder / "ser-graph-runtime", f'exec {shlex.quote(sys.executable)} -m ser_graph_runtime "$@"')
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", str(EXAMPLES / "raspberry_pi" / "listen.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")
def test_the_raspberry_pi_listens(tmp_path: Path) -> None:
    sound = noise(RATE)
    sound.tofile(tmp_path / "sound.raw")
    microphone = f'printf "%s\\n" "$@" > {tmp_path}/asked; exec cat {tmp_path}/sound.raw'
    done = listen(tmp_path, microphone, str(MODEL), "plughw:1,0", "0.1")
    assert done.returncode == 0, done.stderr
    wanted = Recogniser(MODEL).stream((sound, RATE), hop=0.1)
    assert done.stdout.splitlines() == [str(answer) for answer in wanted]
    asked = (tmp_path / "asked").read_text().split()
    assert {"plughw:1,0", "S16_LE", "16000", "raw"} <= set(asked)


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")
def test_a_raspberry_pi_without_a_microphone_says_so(tmp_path: Path) -> None:
    done = listen(tmp_path, 'echo "arecord: no such device" >&2; exit 1', str(MODEL), "default", "0.1")
    assert done.returncode == 1 and not done.stdout
    assert "no such device" in done.stderr and "The stream ended without a sample" in done.stderr
    assert "give a model" in listen(tmp_path, "exit 1").stderr


@pytest.fixture(scope="module")
def predict_cpp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the C++ example; skipped without a compiler or without the headers of onnxruntime."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler on the PATH")
    out = tmp_path_factory.mktemp("cpp") / "predict"
    source = str(EXAMPLES / "cpp" / "predict.cpp")
    command = [compiler, "-std=c++17", "-O2", source, *onnxruntime_flags(compiler, out.parent)]
    done = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def onnxruntime_flags(compiler: str, folder: Path) -> list[str]:
    """Flags for the headers, and for the library beside them or, without one, that of the Python package."""
    if shutil.which("pkg-config"):
        command = ["pkg-config", "--cflags", "--libs", "libonnxruntime"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return asked.stdout.split()
    root = Path(os.environ.get("ONNXRUNTIME_ROOT", folder))
    include = [f"-I{root / 'include'}", f"-I{root / 'include' / 'onnxruntime'}"]
    check = [compiler, "-E", "-x", "c++", "-", *include]
    given = f"#include <{HEADER}>"
    if subprocess.run(check, input=given, text=True, capture_output=True, check=False).returncode:
        pytest.skip("needs the headers of onnxruntime: pkg-config, CPATH or ONNXRUNTIME_ROOT does not give them")
    lib = root / "lib"
    if not (lib / "libonnxruntime.so").exists():
        lib = folder
        (wheel,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # for the linker, for the program
            (lib / name).symlink_to(wheel)
    return [*include, f"-L{lib}", "-lonnxruntime", f"-Wl,-rpath,{lib}"]


@pytest.mark.parametrize("n", [700, WINDOW, 3 * WINDOW, 3 * WINDOW + 500])
def test_cpp_predicts_like_python(predict_cpp: Path, n: int) -> None:
    assert_same_answers(predict_cpp, Recogniser(MODEL), noise(n))


@pytest.mark.parametrize("n", [0.4, 1, 3, 3.2])
@pytest.mark.parametrize("name", ["good", "small"])
def test_cpp_hears_the_voice_as_python_does(predict_cpp: Path, name: str, n: float) -> None:
    """The ready students normalise by speaker: each window updates the voice that the next one is heard with."""
    recogniser = Recogniser(f"ready:{name}")
    assert recogniser.model.normalises_by_speaker
    sound = noise(round(n * recogniser.seconds * RATE))
    assert_same_answers(predict_cpp, recogniser, sound)


def assert_same_answers(predict_cpp: Path, recogniser: Recogniser, sound: np.ndarray) -> None:
    model = recogniser.model.path
    done = subprocess.run([predict_cpp, model], input=sound.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = [answer.probabilities for answer in recogniser.stream((sound, RATE))]
    pairs = [[pair.split() for pair in line.split(", ")] for line in done.stdout.decode().splitlines()]
    assert [[name for name, _ in line] for line in pairs] == [list(answer) for answer in wanted]
    found = np.array([[float(value) for _, value in line] for line in pairs])
    np.testing.assert_allclose(found, [list(answer.values()) for answer in wanted], rtol=0, atol=1e-4)


def test_cpp_reports_mistakes_in_one_line(predict_cpp: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    for arguments, words in [([], "expected one model"), ([tmp_path / "text.onnx"], "failed")]:
        done = subprocess.run([predict_cpp, *arguments], input=b"", capture_output=True, check=False)
        assert done.returncode == 1 and words in done.stderr.decode()
        assert done.stderr.startswith(b"Error: ") and done.stderr.count(b"\n") == 1
