"""The distribution of its own: small, and enough on a machine where nothing else is installed."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runtime"
MODULES = sorted((FOLDER / "ser_graph_runtime").glob("*.py"))
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_numpy_and_itself(path):
    """onnxruntime and the extras are imported by `extra_package`, where they are used."""
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree)
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    others = {str(name).partition(".")[0] for name in names} - sys.stdlib_module_names
    assert others <= {"numpy", "ser_graph_runtime"}


def test_every_optional_package_is_in_an_extra():
    needed = {one.partition(">")[0] for one in PROJECT["dependencies"]}
    assert needed == {"numpy", "onnxruntime"}
    used = {
        call.args[0].value
        for path in MODULES
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "extra_package"
    }
    extras = {one.partition(">")[0] for extra in PROJECT["optional-dependencies"].values() for one in extra}
    assert used == extras | {"onnxruntime"}


def test_the_licence_is_that_of_the_project():
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def run(*command, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the folder, as `pip wheel ./runtime` does."""
    folder = tmp_path_factory.mktemp("wheel")
    probe = ("--dry-run", "--quiet", "--no-deps", "--ignore-installed", "setuptools>=77", "onnxruntime")
    if run(sys.executable, "-m", "pip", "install", *probe).returncode:
        pytest.skip("pip reaches no package index, so it can build and install nothing")
    shutil.copytree(FOLDER, folder / "runtime", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    made = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, folder / "runtime")
    assert made.returncode == 0, made.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_is_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        members = archive.infolist()
    size = sum(one.compress_size for one in members if not one.filename.endswith(".onnx"))
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, {size:,} without models")
    assert size < 1e6
    names = {one.filename for one in members}
    assert {"ser_graph_runtime/py.typed", "ser_graph_runtime/recogniser.py"} <= names
    assert {f"ser_graph_runtime/{path.name}" for path in MODULES} <= names


@pytest.mark.slow
def test_it_is_enough_where_nothing_else_is_installed(wheel, example, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", rng.uniform(-0.3, 0.3, 6_000), 44_100)
    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    installed = run(python, "-m", "pip", "install", "--quiet", wheel)
    assert installed.returncode == 0, installed.stderr
    code = f"""
import importlib.util, sys
import numpy as np
from ser_graph_runtime import InputError, Recogniser
recogniser = Recogniser({str(example)!r})
answer = recogniser(np.random.default_rng(0).uniform(-0.3, 0.3, 3_000), 16_000)
assert answer.sure and abs(sum(answer.probabilities.values()) - 1) < 1e-6
try:
    next(recogniser.file("a.wav"))
except InputError as error:
    print(error)
others = ("torch", "pandas", "ser_graph", "soundfile", "onnx")
print([name for name in others if name in sys.modules or importlib.util.find_spec(name)])
"""
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.stdout == "soundfile is not installed; run pip install 'ser-graph-runtime[files]'\n[]\n", (
        done.stderr
    )
    assert run(python, "-m", "pip", "install", "--quiet", f"{wheel}[files]").returncode == 0
    for program in ([python, "-m", "ser_graph_runtime"], [binaries / "ser-graph-runtime"]):
        done = run(*program, "a.wav", "--model", example, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout.startswith("a.wav: 0.00-0.13 s: "), done.stderr
        done = run(*program, "a.wav", cwd=tmp_path)  # the ready model is in the wheel
        assert done.returncode == 0 and done.stderr.startswith("Model ready:good (") and "%" in done.stdout
