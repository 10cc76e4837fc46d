"""Child processes do not run what lies in the current folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ser_graph.common.processes import safe_imports

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with modules of a stranger that leave a file when they run."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in ("tqdm", "json", "numpy", "joblib", "soundfile"):
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'sprung')!r}, 'w').close()\nraise SystemExit(3)\n"
        )
    return folder


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with safe_imports():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        with safe_imports():
            pass
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ


@pytest.mark.slow
def test_workers_that_make_speech_run_nothing_of_the_folder(trap: Path, tmp_path: Path) -> None:
    script = tmp_path / "make.py"
    script.write_text(
        "from ser_graph.corpora.synthetic import making\n"
        "if __name__ == '__main__':\n"
        "    making._MANY = 4\n"
        "    making.make_corpus(__import__('sys').argv[1], n_clips=24)\n"
    )
    command = [sys.executable, script, tmp_path / "speech"]
    done = subprocess.run(command, cwd=trap, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "speech").rglob("*.wav"))) == 24
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_bench_runs_nothing_of_the_folder(trap: Path, tmp_path: Path) -> None:
    model = Path(__file__).parents[1] / "formats" / "student.onnx"
    script = tmp_path / "measure.py"
    script.write_text(
        f"import ser_graph as sg\nprint(sg.edge.bench([{str(model)!r}], repeats=1, progress=False))\n"
    )
    done = subprocess.run([sys.executable, script], cwd=trap, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "onnx" in done.stdout
    assert not (tmp_path / "sprung").exists()
