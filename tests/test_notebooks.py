"""Every notebook runs from top to bottom on a tiny corpus, shows pictures, and is stored with small outputs."""

import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

import ser_graph as sg

# Runs after the cell with the tag "parameters": it shows that the steps run, and nothing else.
TINY = """
source_size, target_size = {"n_clips": 48, "n_speakers": 6}, {"n_clips": 84, "n_speakers": 6}
upstream_epochs, student_epochs, repetitions, repeats, n_doubled = 1, 2, 3, 3, 6
"""
MOST = 150_000  # bytes of the stored outputs of a notebook
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
LISTENING = "03_listening_to_the_graph"
WITH_A_RUN = [path for path in NOTEBOOKS if "SER_GRAPH_RUN_EMOVO" in path.read_text("utf-8")]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def html(shown: list[nbformat.NotebookNode]) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in shown)


def printed(shown: list[nbformat.NotebookNode]) -> str:
    return "".join(output.get("text", "") for output in shown)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a notebook, tiny and in an empty folder, and return what it shows."""
    # The kernel gets this process's environment; one thread, as tests run beside each other.
    for name, value in {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TMPDIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("SER_GRAPH_RUN_EMOVO", "SER_GRAPH_SHARED"):
        monkeypatch.delenv(name, raising=False)

    def run(path: Path) -> list[nbformat.NotebookNode]:
        notebook = nbformat.read(path, as_version=4)
        (place,) = [row for row, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(TINY))
        resources = {"metadata": {"path": tmp_path}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
        shown = outputs(notebook)
        assert not [output for output in shown if output.output_type == "error"]
        return shown

    return run


@pytest.fixture
def stored_run(tmp_path: Path) -> Path:
    """Graph and predictions as `ser-graph run emovo` leaves them, but of synthetic clips."""
    run = tmp_path / "run"
    table = sg.make_corpus(run / "clips", n_clips=84, n_speakers=6, seed=1)
    codes = torch.from_numpy(table["emotion"].astype("category").cat.codes.to_numpy("int64"))
    noise = torch.randn(84, 8, generator=torch.Generator().manual_seed(0))
    emb = torch.nn.functional.one_hot(codes, 8) + 0.5 * noise
    features = sg.LogMelSettings(n_samples=16_000)
    data = sg.build_graph(table, emb=emb, epsilon=0.5, n_neighbors=3, features=features, progress=False)
    sg.save_graph(data, run / "graph")
    predictions = table.loc[table["split"] == "test", ["emotion", "speaker"]]
    student = run / "students" / "cnn6-nsl"
    student.mkdir(parents=True)
    predictions.assign(predicted="anger").to_csv(student / "predictions.csv")
    return run


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_pictures(
    path: Path, execute, stored_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_GRAPH_RUN_EMOVO", str(stored_run))
    shown = execute(path)
    assert len([output for output in shown if "image/png" in output.get("data", {})]) >= 5
    if path in WITH_A_RUN:
        assert "<th>synthetic</th>\n      <th>EMOVO</th>" in html(shown)  # side by side in a table
    if path.stem == LISTENING:
        views = [output for output in shown if WIDGET in output.get("data", {})]
        assert len(views) == 2 or html(shown).count("<iframe") == 2  # the latter without anywidget
        assert html(shown).count("<audio") >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_with_small_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run the notebook from top to bottom: make notebooks"
    shown = outputs(notebook)
    assert (
        sum("image/png" in output.get("data", {}) or "image/jpeg" in output.get("data", {}) for output in shown)
        >= 5
    )
    assert not [output for output in shown if output.output_type == "error" or output.get("name") == "stderr"]
    if path in WITH_A_RUN:
        assert "There is no graph of EMOVO here" in printed(shown)  # stored without a run
    text = "".join(map(str, shown))
    assert len(text) < MOST
    assert not re.search(r"<audio|<iframe|<script|widget-view|/tmp/|/home/|/root/", text)
    assert "synthetic" in path.read_text("utf-8")
