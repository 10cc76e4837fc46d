"""A whole run at toy size: stored stages, resuming, refusing."""

import json
import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch

from ser_graph import cli
from ser_graph.common.distributed import Processes
from ser_graph.common.files import read_json
from ser_graph.common.locks import LOCK
from ser_graph.downstream import load_student, predict_clips
from ser_graph.downstream.settings import PAPER
from ser_graph.errors import InputError
from ser_graph.evaluation import evaluate
from ser_graph.experiment import clips, run, running, students
from ser_graph.experiment.recipe_files import load_recipe, make_recipe, recipe_values
from ser_graph.graph import load_graph, stage as graph_stage
from ser_graph.upstream import Upstream

pytestmark = pytest.mark.slow


def test_results_hold_what_is_promised(finished):
    out, results = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert len(results["students"]) == 2
    for student in results["students"]:
        for key in ("accuracy", "uar", "uar_low", "uar_high", "dev_uar", "epoch"):
            assert key in student
        shared = {"backbone": "resnet9", "n_neighbors": None, "layer": "fc2", "transfer": "none", "seed": 0}
        own = {"method": "nsl", "alpha": 0.1, "n_neighbors": 2} if student["alpha"] else {"method": "baseline"}
        assert {**shared, "alpha": 0.0, **own, "further": {"width": 0.25}}.items() <= student.items()
        length = {"epochs": 2, "epoch_steps": 1, "batch_size": 16}
        assert student["training"] == {**length, "precision": "float32", "transductive": False}
        assert student["n_params"] == 311_479
        assert 0 <= student["uar"] <= 1
        assert student["latency_ms"] > 0
        assert 1.2 < student["size_mb"] < 1.33
    for key in ("n_clips", "n_edges", "coverage", "homophily", "homophily_chance", "same_speaker", "recall"):
        assert key in results["graph"]
    assert results["synthetic"] and "synthetic" in results["title"]
    assert results["shared_speakers"] == []
    assert results["environment"]["packages"]["torch"] == torch.__version__


def test_run_folder_holds_every_part(finished):
    out, results = finished
    for file in ("recipe.toml", "environment.json", "source/clips.csv", "target/problems.csv", "graph/meta.json"):
        assert (out / file).exists(), file
    for student in results["students"]:
        for file in ("model.safetensors", "model.json", "history.csv", "predictions.csv", "metrics.json"):
            assert (out / "students" / student["name"] / file).exists(), file
        assert (out / "figures" / f"confusion-{student['name']}.png").stat().st_size > 5000
    for figure in ("overview", "similarities", "degrees", "map", "mixing", "history", "students"):
        assert (out / "figures" / f"{figure}.png").stat().st_size > 5000
    assert not [path for path in out.rglob(".*")]  # nothing is under way


def test_numbers_follow_from_the_stored_parts(finished):
    out, results = finished
    data = load_graph(out / "graph")
    for student in results["students"]:
        folder = out / "students" / student["name"]
        stored = pd.read_csv(folder / "predictions.csv", index_col="file")
        again = predict_clips(load_student(folder), data, "test")
        assert (stored["predicted"] == again["predicted"]).all()
        assert evaluate(again)["uar"] == student["uar"]
    assert results["graph"]["n_edges"] == data.edge_index.shape[1]
    speakers = data.table.groupby("split")["speaker"].unique()
    assert not set(speakers["train"]) & set(speakers["test"])


def test_finished_stages_are_not_done_again(finished, toy_recipe, a_copy, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("done again")

    for stage, name in ((students, "train"), (graph_stage, "build_graph"), (clips, "check_clips")):
        monkeypatch.setattr(stage, name, fail)
    monkeypatch.setattr(Upstream, "finetune", fail)
    results = run(toy_recipe(), a_copy, progress=False)
    assert results["students"] == finished[1]["students"]


def test_more_students_join_a_finished_run(finished, toy_recipe, a_copy):
    """Of other weights and methods; what is there is the same under any list of these."""
    more = {"students__alpha": [0.0, 0.1, 5.0], "students__method": ["nsl", "regress"]}
    results = run(toy_recipe(**more), a_copy, progress=False)
    found = {row["name"]: row for row in results["students"]}
    assert set(found) == {
        "resnet9-baseline-width=0.25-seed0",
        "resnet9-nsl-width=0.25-n_neighbors=2-seed0",
        "resnet9-nsl-width=0.25-alpha=5-n_neighbors=2-seed0",
        "resnet9-regress-width=0.25-alpha=0.1-seed0",
        "resnet9-regress-width=0.25-seed0",
    }
    assert results["students"][:2] == finished[1]["students"]
    for name, row in found.items():
        terms = [key for key in pd.read_csv(a_copy / "students" / name / "history.csv") if key.endswith("_loss")]
        assert terms == ["supervised_loss"] + [f"{row['method']}_loss"] * (row["method"] != "baseline")
    assert [(row["method"], row["alpha"], row["n_neighbors"]) for row in results["students"][3:]] == [
        ("regress", 0.1, None),
        ("regress", 5.0, None),
    ]


def test_results_of_other_settings_are_not_overwritten(toy_recipe, a_copy):
    with pytest.raises(InputError, match=r"graph holds the result of other .*graph.n_neighbors: 2 before, 3 now"):
        run(toy_recipe(graph__n_neighbors=3), a_copy, progress=False)
    with pytest.raises(InputError, match=r"upstream holds the result of other .*upstream.epochs: 1 before, 2 now"):
        run(toy_recipe(upstream__epochs=2), a_copy, progress=False)
    assert load_recipe(a_copy / "recipe.toml") == toy_recipe()  # still that of the results
    shutil.rmtree(a_copy / "graph")
    with pytest.raises(InputError, match=r"holds the result of other .*features.n_samples: 8192 before, 16000 now"):
        run(toy_recipe(features__n_samples=16_000), a_copy, progress=False)


def test_a_baseline_stays_whatever_comes_before_it_in_the_grid(finished, toy_recipe, a_copy):
    results = run(toy_recipe(students__layer=["fc1", "fc2"]), a_copy, progress=False)
    assert len(results["students"]) == 3
    rows = {row["name"]: row["uar"] for row in results["students"]}
    assert all(rows[row["name"]] == row["uar"] for row in finished[1]["students"])


def test_foreign_folders_are_left_alone(toy_recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="contains no run"):
        run(toy_recipe(), tmp_path, progress=False)
    with pytest.raises(InputError, match="is a file"):
        run(toy_recipe(), tmp_path / "thesis.tex", progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_killed_in_its_very_first_write_goes_on(toy_recipe, tmp_path, monkeypatch):
    """And one in a folder that a file manager has looked at."""
    monkeypatch.setattr(running, "_run_stages", lambda *_, **__: {})
    (tmp_path / ".DS_Store").touch()
    (tmp_path / LOCK).touch()
    (tmp_path / ".recipe.toml.ser-graph-abcdefgh.part").mkdir()
    run(toy_recipe(), tmp_path, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".DS_Store", "environment.json", "recipe.toml"]


def test_the_second_run_in_a_folder_is_told_of_the_first(toy_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("ser_graph.common.locks._PATIENCE", 0.1)
    monkeypatch.setattr(running, "_run_stages", lambda recipe, out, **_: run(recipe, out, progress=False))
    with pytest.raises(InputError, match=rf"^{tmp_path}/run is in use by process {os.getpid()} on .* since"):
        run(toy_recipe(), tmp_path / "run", progress=False)


@pytest.mark.parametrize("step", ["draw", "_note"])
def test_nothing_looks_finished_before_all_is(toy_recipe, a_copy, monkeypatch, step):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, step, killed)
    with pytest.raises(KeyboardInterrupt):
        run(toy_recipe(), a_copy, progress=False)
    assert not (a_copy / "results.json").exists()


def test_two_processes_of_torchrun_make_the_run_of_one(toy_recipe, speech, tmp_path, start_script):
    """Every stage is there once, and the students come from the same steps."""
    training = {"epochs": 2, "epoch_steps": 1, "precision": "float32", "augment": "none", "normalise": "corpus"}
    # Adam's first steps are the signs of gradients: at its usual rate, roundings grow.
    training |= {"learning_rate": 1e-5, "width": 0.25}
    changes = {"students__training": training, "other": [{"corpus": "shards", "root": str(speech)}]}
    recipe = make_recipe({**recipe_values(toy_recipe(**changes)), "folds": 3})
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(recipe_values(recipe)))
    for number, name in enumerate(("one", "two"), 1):
        done = start_script("-m", "ser_graph", "run", file, "--out", tmp_path / name, processes=number)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Run folder") == 1
    graphs = [load_graph(tmp_path / name / "graph") for name in ("one", "two")]
    torch.testing.assert_close(
        graphs[1].emb, graphs[0].emb, rtol=1e-4, atol=1e-4
    )  # batches differ, and so roundings
    assert torch.equal(graphs[1].edge_index, graphs[0].edge_index)
    one, two = (read_json(tmp_path / name / "results.json") for name in ("one", "two"))
    assert not list((tmp_path / "two").rglob("*.part")) and not list((tmp_path / "two").glob("students/.*"))
    for name in ("one", "two"):
        assert len(list((tmp_path / name).glob("shards/*/shard.json"))) == 3
    for here, there in zip(one["students"], two["students"], strict=True):
        assert here["name"] == there["name"]
        tables = [
            pd.read_csv(tmp_path / run / "students" / here["name"] / "predictions.csv") for run in ("one", "two")
        ]
        numbers = [table.select_dtypes("number").to_numpy() for table in tables]
        np.testing.assert_allclose(*numbers, atol=2e-3)
    with pytest.raises(InputError, match="leave out jobs and cluster"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "processes", lambda: Processes(0, 2))
        run(recipe, tmp_path / "three", jobs=2)


def test_a_full_disk_is_noticed_first(toy_recipe, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs about .* GB .*free"):
        run(toy_recipe(), tmp_path / "run", progress=False)


def test_useless_epsilon_names_a_better_one_and_keeps_the_upstream(toy_recipe, a_copy):
    shutil.rmtree(a_copy / "graph")
    with pytest.raises(InputError, match=r"epsilon=0.9999999 leaves no edge.*try epsilon="):
        run(toy_recipe(graph__epsilon=0.9999999), a_copy, progress=False)
    assert (a_copy / "upstream" / "stage.json").exists()


def test_a_toy_study_end_to_end(finished, toy_recipe, a_copy, tmp_path, monkeypatch, capsys):
    """Two alphas and two seeds, the same under protocol paper, and their report from the command line."""
    grid = {"students__alpha": [0.0, 0.1, 1.0], "students__seed": [0, 1]}
    grid["students__training"] = {**PAPER, "epochs": 2, "keep": "best"}
    run(toy_recipe(**grid), a_copy, progress=False)
    paper = tmp_path / "paper"
    shutil.copytree(a_copy, paper, ignore=shutil.ignore_patterns("students", "graph", "results.json"))
    run(toy_recipe(protocol="paper", **grid), paper, progress=False)

    def report(*arguments):
        monkeypatch.setattr(sys, "argv", ["ser-graph", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, capsys.readouterr()

    code, said = report(a_copy, paper, "--out", tmp_path / "report")
    assert code == 0 and "report.md" in said.out
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Chosen by dev" in text and "synthetic" in text
    assert len(list((tmp_path / "report").glob("*.png"))) == 2
    students = pd.read_csv(tmp_path / "report" / "students.csv")
    assert len(students) == 12 and students.groupby("protocol").size().tolist() == [6, 6]
    for folder in students["folder"]:  # the paper's rate, in both protocols
        assert pd.read_csv(f"{folder}/history.csv")["learning_rate"].tolist() == [1e-3, 1e-3]
    assert set(students["backbone"]) == {"resnet9"} and "schedule=paper" in text  # said once, of all
    # What the table says of the chosen setting, from the stored predictions.
    setting = ["method", "alpha"]
    dev = students[(students["protocol"] == "clean") & (students["alpha"] > 0)].groupby(setting)["dev_uar"].mean()
    best = students.set_index(setting).index == dev.idxmax()
    of_paper = students[(students["protocol"] == "paper") & best]
    assert len(of_paper) == 2
    values = [evaluate(pd.read_csv(f"{folder}/predictions.csv"))["uar"] for folder in of_paper["folder"]]
    (row,) = [line for line in text.splitlines() if line.startswith("| resnet9 |") and line.endswith("| chosen |")]
    assert f"| {100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f} |" in row
    code, said = report(a_copy, paper, "--out", tmp_path / "practice", "--choose", "test")
    assert code == 0
    assert "test-selected, not a test result (synthetic speech)" in (tmp_path / "practice/report.md").read_text()
    code, said = report(a_copy, paper, "--out", tmp_path / "third", "--choose", "train")
    assert code == 1 and "Bad split to choose by 'train'" in said.err and "Traceback" not in said.err


def test_a_run_with_copies(finished, toy_recipe, a_copy):
    """What is tested, and what the graph is, stays; another number of copies is another result."""
    before = finished[1]
    for part in ("graph", "students"):
        shutil.rmtree(a_copy / part)
    how = {"students__method": ["baseline", "regress+distil"]}
    results = run(toy_recipe(copies=1, **how), a_copy, progress=False)
    assert load_recipe(a_copy / "recipe.toml").copies == results["recipe"]["copies"] == 1
    names = [row["name"] for row in results["students"]]
    assert names == ["resnet9-baseline-width=0.25-seed0", "resnet9-distil+regress-width=0.25-seed0"]
    data = load_graph(a_copy / "graph")
    assert data.num_nodes == 126
    for name in ("n_clips", "n_edges", "coverage", "isolated", "n_in_scope", "components", "homophily"):
        assert results["graph"][name] == before["graph"][name], name
    assert results["graph"]["card"] == before["graph"]["card"]
    assert (results["n_test"], results["n_test_speakers"]) == (before["n_test"], before["n_test_speakers"])
    old = finished[0] / "students" / before["students"][0]["name"]
    for name in names:
        for file in ("predictions.csv", "dev_predictions.csv"):
            said = pd.read_csv(a_copy / "students" / name / file, index_col="file")
            assert said.index.tolist() == pd.read_csv(old / file, index_col="file").index.tolist()
        info = load_student(a_copy / "students" / name).info
        assert info["n_train"] == info["n_labelled"] == before["graph"]["n_in_scope"]
    assert run(toy_recipe(copies=1, **how), a_copy, progress=False)["students"] == results["students"]
    for number in (0, 2):
        with pytest.raises(InputError, match=r"graph holds the result of other .*\(clips: "):
            run(toy_recipe(copies=number, **how), a_copy, progress=False)
