"""The examples run as a user would run them, on a corpus of a few seconds, and learn."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ser_graph.corpora.synthetic.making import make_corpus
from ser_graph.graph import ClipGraph, build_graph, save_graph

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(*arguments: str) -> str:
    """Run an example in a process of its own, on one thread as tests run beside each other."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_train_nsl_makes_its_upstream_and_learns(tmp_path: Path) -> None:
    make_corpus(tmp_path / "raw", n_clips=84, n_speakers=6)
    script = [str(EXAMPLES / "train_nsl.py"), "--root", str(tmp_path), "--source-clips", "24"]
    said = run_example(*script, "--upstream-epochs", "1", "--epochs", "3")
    losses = [float(loss) for loss in re.findall(r"Epoch \d+, loss ([\d.]+)", said)]
    neighbour_losses = [float(loss) for loss in re.findall(r"neighbour loss ([\d.]+)", said)]
    assert len(losses) == 3
    assert losses[-1] < 0.7 * losses[0]
    assert min(neighbour_losses) > 0
    assert re.search(r"Test accuracy 0\.\d{4}, UAR 0\.\d{4}", said)

    # The upstream and the graph are kept; the baseline needs neither of them anew.
    made = (tmp_path / "processed" / "meta.json").stat().st_mtime_ns
    assert "Epoch 1, loss" in run_example(*script, "--alpha", "0", "--epochs", "1")
    assert (tmp_path / "processed" / "meta.json").stat().st_mtime_ns == made


def test_train_nsl_can_be_read_at_a_glance() -> None:
    assert len((EXAMPLES / "train_nsl.py").read_text("utf-8").splitlines()) < 80


def test_gnn_learns_and_says_that_it_is_transductive(tmp_path: Path, toy_graph: ClipGraph) -> None:
    parts = {"emb": toy_graph.emb, "x": toy_graph.x, "features": toy_graph.meta.features}
    save_graph(build_graph(toy_graph.table, scope="all", epsilon=None, n_neighbors=4, **parts), tmp_path / "graph")
    said = run_example(str(EXAMPLES / "gnn.py"), str(tmp_path / "graph"))
    found = re.search(r"Transductive test UAR ([\d.]+); 100% of the test clips have neighbours", said)
    assert found and float(found[1]) > 0.9


def test_gnn_has_twenty_lines() -> None:
    _, _, code = (EXAMPLES / "gnn.py").read_text("utf-8").partition("torch.manual_seed")
    assert len(code.splitlines()) <= 20
