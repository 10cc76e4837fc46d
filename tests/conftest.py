import copy
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from ser_graph import cli
from ser_graph.audio.settings import LogMelSettings
from ser_graph.corpora import with_copies
from ser_graph.graph import ClipGraph, build_graph

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
_PROGRESS = re.compile(r"^.*\w: [\d,]+(/[\d,]+)? \w+, \d+ s\b.*\n", re.MULTILINE)
_BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
_SHARED = Path(os.environ.get("SER_GRAPH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="module")
def load_benchmark() -> Iterator[Callable[[str], ModuleType]]:
    """From the name of a script of benchmarks/ to a module, for the tests of one file.

    What the script imports from its folder is importable meanwhile, and forgotten afterwards.
    """
    path, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(_BENCHMARKS))
    yield importlib.import_module
    sys.path[:] = path
    for script in _BENCHMARKS.glob("*.py"):
        if script.stem not in known:
            sys.modules.pop(script.stem, None)


@pytest.fixture(scope="session")
def real_corpus() -> Callable[[str], Path]:
    """From the name of a real corpus to its folder; the test is skipped where it is not at hand."""

    def find(name: str) -> Path:
        path = _SHARED / "corpora" / name
        if not path.exists():
            pytest.skip(f"needs real speech, {name}, in the folder that SER_GRAPH_SHARED names")
        return path

    return find


@pytest.fixture(scope="session")
def whisper_folder() -> Path:
    """The folder of a real speech model, a small Whisper for clips of 6 s; skipped where it is not at hand."""
    path = _SHARED / "models" / "whisper-base-6s"
    if not path.exists():
        pytest.skip("needs a real model, whisper-base-6s, in the folder that SER_GRAPH_SHARED names")
    return path


@pytest.fixture(scope="session")
def launch_browser():
    """From further flags to a Chromium without a window, in its own profile; skipped where none is installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser, one of {', '.join(_BROWSERS)}, on the PATH")
    with playwright.sync_playwright() as driver:
        yield lambda *flags: driver.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])


@pytest.fixture
def make_clips(tmp_path: Path) -> Callable[..., Path]:
    """Write a short clip of noise under each of some names; a different one each, the same in every run."""

    def write(*names: str, folder: Path = tmp_path, rate: int = 16_000, seconds: float = 0.2) -> Path:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(list(name.encode())).normal(0, 0.1, int(seconds * rate))
            soundfile.write(path, noise, rate)
        return folder

    return write


TOY_SETTINGS = {"epsilon": 0.96, "n_neighbors": 4, "features": LogMelSettings(n_samples=8192)}


@pytest.fixture
def toy_graph(_toy_graph: ClipGraph) -> ClipGraph:
    """A graph of a test's own, to look at or to change; see `_toy_graph`."""
    return copy.deepcopy(_toy_graph)


@pytest.fixture
def joint_graph(toy_graph: ClipGraph) -> ClipGraph:
    """`toy_graph`, half of whose training clips are of another corpus, with labels that only a probe may learn."""
    theirs = (np.arange(120) % 2 == 1) & toy_graph.train_mask.numpy()
    emotion = toy_graph.table["emotion"]
    toy_graph.table = toy_graph.table.assign(
        emotion=emotion.mask(theirs),
        other_emotion=emotion.where(theirs),
        corpus=np.where(theirs, "other", "target"),
    )
    return toy_graph


@pytest.fixture(scope="session")
def _toy_graph() -> ClipGraph:
    """120 clips of 8 speakers with 3 emotions, which embeddings and spectrograms of 31 frames both show."""
    rng = np.random.default_rng(0)
    emotion, speaker = np.arange(120) % 3, np.arange(120) // 15
    table = pd.DataFrame(
        {
            "emotion": np.array(["anger", "fear", "sadness"])[emotion],
            "speaker": [f"s{code}" for code in speaker],
            "gender": np.array(["female", "male"])[speaker % 2],
            "duration": 0.5,
            "split": np.array(["train"] * 5 + ["dev"] + ["test"] * 2)[speaker],
        },
        index=pd.Index([f"s{speaker[clip]}/{clip:03d}.wav" for clip in range(120)], name="file"),
    )
    table.attrs = {"corpus": "toy", "root": "nowhere"}
    emb = rng.normal(size=(3, 16))[emotion] + 0.25 * rng.normal(size=(120, 16))
    x = rng.normal(size=(3, 64))[emotion][:, None] + rng.normal(size=(120, 31, 64)) - 5
    return build_graph(
        table,
        emb=torch.from_numpy(emb).float(),
        x=torch.from_numpy(x).half(),
        **TOY_SETTINGS,
    )


@pytest.fixture
def copied_graph(_copied_graph: ClipGraph) -> ClipGraph:
    """The toy graph with a copy of every clip at another speed, as clips 120 to 239; see `_copied_graph`."""
    return copy.deepcopy(_copied_graph)


@pytest.fixture(scope="session")
def _copied_graph(_toy_graph: ClipGraph) -> ClipGraph:
    """Copies are near their originals, but another mean and deviation tells where they are counted in."""
    rng = np.random.default_rng(1)
    emb, x = (
        values.double().numpy() + 0.5 + 0.2 * rng.normal(size=values.shape)
        for values in (_toy_graph.emb, _toy_graph.x)
    )
    return build_graph(
        with_copies(_toy_graph.table, 1),
        emb=torch.cat([_toy_graph.emb, torch.from_numpy(emb).float()]),
        x=torch.cat([_toy_graph.x, torch.from_numpy(x).half()]),
        **TOY_SETTINGS,
    )


@pytest.fixture
def mixed_graph(_toy_graph: ClipGraph) -> ClipGraph:
    """The toy graph, built from its clips in another order."""
    order = np.random.default_rng(0).permutation(120)
    parts = {"emb": _toy_graph.emb[order], "x": _toy_graph.x[order]}
    return build_graph(_toy_graph.table.iloc[order], **parts, **TOY_SETTINGS)


@pytest.fixture(scope="session")
def relabel() -> Callable[..., None]:
    """Give some clips of a graph other emotions, by their codes: in `y` and in the clip table."""

    def change(data: ClipGraph, rows: slice | torch.Tensor, codes: int | torch.Tensor) -> None:
        y = data.y.clone()
        y[rows] = codes
        names = np.array([*data.emotions, None], dtype=object)
        data.table = data.table.assign(emotion=names[y.numpy()])

    return change


@pytest.fixture
def four_clips(toy_graph):
    """Edges into an angry clip from one angry and two fearful ones, and one between unknown clips."""
    known = ["anger", "anger", "fear", "fear", None, None]
    toy_graph.table = toy_graph.table.assign(emotion=[*known, *toy_graph.table["emotion"][6:]])
    toy_graph.edge_index = torch.tensor([[1, 2, 3, 0, 5, 0], [0, 0, 0, 2, 4, 4]])
    toy_graph.edge_weight = toy_graph.edge_weight[:6]
    return toy_graph


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command line; returns exit code, standard output, and standard error without its lines of progress."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ser-graph", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, _PROGRESS.sub("", captured.err)

    return run


@pytest.fixture(scope="session")
def start_script() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a script with arguments (dictionaries become JSON), alone or as several processes of torchrun."""

    def start(*arguments: Any, processes: int) -> "subprocess.CompletedProcess[str]":
        many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        given = [json.dumps(one) if isinstance(one, dict) else str(one) for one in arguments]
        command = [sys.executable, *(many if processes > 1 else []), *given]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)

    return start
