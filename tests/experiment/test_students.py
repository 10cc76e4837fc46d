"""The students of a run: stored, side by side, killed and continued."""

import json
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest
import tomli_w
import torch

import ser_graph.downstream.training as training
from ser_graph.downstream import TrainingSettings, load_student
from ser_graph.errors import InputError
from ser_graph.evaluation import evaluate
from ser_graph.experiment import run as run_recipe, students
from ser_graph.experiment.recipe_files import make_recipe, recipe_values
from ser_graph.graph import load_graph

pytestmark = pytest.mark.slow


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def without_students(run, to):
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("students", "figures", "results.json"))
    return to


def test_a_grid_hashes_its_graph_once(finished, tmp_path, monkeypatch):
    data, hashed, prepared = load_graph(finished[0] / "graph"), [], []
    whole = students.asked_of_data
    monkeypatch.setattr(students, "asked_of_data", lambda data: hashed.append(data) or whole(data))
    monkeypatch.setattr(students, "prepare_student", lambda *given, **_: prepared.append(given[3]))
    students.prepare_students(data, [TrainingSettings(seed=seed) for seed in range(3)], tmp_path, progress=False)
    assert len(hashed) == 1
    assert prepared == [whole(data)] * 3


def test_killed_training_continues_to_the_same_student(finished, toy_recipe, a_copy, monkeypatch):
    name = finished[1]["students"][1]["name"]
    wanted = load_student(a_copy / "students" / name).state_dict()
    shutil.rmtree(a_copy / "students" / name)
    save = training._Run.save

    def killed(self, path):
        save(self, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(toy_recipe(), a_copy, progress=False)
    assert not (a_copy / "students" / name).exists()
    monkeypatch.setattr(training._Run, "save", save)
    epochs = []
    epoch = training._Run.epoch
    monkeypatch.setattr(training._Run, "epoch", lambda self: epochs.append(1) or epoch(self))
    run_recipe(toy_recipe(), a_copy, progress=False)
    assert len(epochs) == 1  # the first of the two epochs was not done again
    got = load_student(a_copy / "students" / name).state_dict()
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)


def test_dev_is_predicted_too_unless_trained_on(finished):
    out, results = finished
    data = load_graph(out / "graph")
    for student in results["students"]:
        folder = out / "students" / student["name"]
        dev = pd.read_csv(folder / "dev_predictions.csv", index_col="file")
        assert set(dev.index) == set(data.table.index[data.table["split"] == "dev"])
        history = json.loads((folder / "model.json").read_text())["info"]["history"]
        assert student["dev_uar"] == pytest.approx(history[student["epoch"] - 1]["dev_uar"])
        assert student["epoch"] == len(history) == 2  # the last is kept
        assert student["dev_uar"] == evaluate(dev)["uar"]
        assert student["dev_accuracy"] == pytest.approx((dev["predicted"] == dev["emotion"]).mean())
    trained_on = TrainingSettings(protocol="paper")
    assert students._predict_dev(load_student(folder), data, trained_on) is None


def test_side_by_side_trains_the_same_students(finished, toy_recipe, tmp_path, one_thread):
    recipe = toy_recipe(students__seed=[0, 1])
    runs = [without_students(finished[0], tmp_path / name) for name in ("one", "two")]
    results = [run_recipe(recipe, run, progress=False, jobs=jobs) for run, jobs in zip(runs, (1, 2), strict=True)]
    for one, two in zip(*(result["students"] for result in results), strict=True):
        assert {**one, "latency_ms": 0} == {**two, "latency_ms": 0}
        weights = [load_student(run / "students" / one["name"]).state_dict() for run in runs]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not list(runs[1].rglob("*.pt"))


def test_a_mistake_in_a_process_of_its_own_is_one_line(finished, toy_recipe, tmp_path):
    recipe = toy_recipe(students__training={"epochs": 2, "epoch_steps": 1, "learning_rate": 1e30})
    with pytest.raises(
        InputError, match="The loss is not finite in epoch 1; lower learning_rate or alpha"
    ) as raised:
        run_recipe(recipe, without_students(finished[0], tmp_path / "run"), progress=False, jobs=2)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="Bad jobs 0, expected at least 1"):
        run_recipe(recipe, tmp_path / "run", jobs=0)


def test_a_grid_killed_side_by_side_continues(finished, toy_recipe, tmp_path, one_thread):
    """Killed without a chance to clean up: its processes leave with it, and the same call ends the same."""
    recipe = toy_recipe(students__training={"epochs": 8, "epoch_steps": 1})
    run, whole = (without_students(finished[0], tmp_path / name) for name in ("killed", "whole"))
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(recipe_values(recipe)))
    command = [sys.executable, "-m", "ser_graph", "run", str(file), "--out", str(run), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(run.glob("students/.*.work/training/*.pt")):
            time.sleep(0.05)
        process.kill()
        # Its workers hold the other end of the pipe: it closes when the last of them is gone.
        said = process.stderr.read().decode()
    left = list(run.glob("students/.*.work/training/*.pt"))
    assert left and not (run / "results.json").exists(), said
    begun = min(len(torch.load(checkpoint, weights_only=True)["history"]) for checkpoint in left)
    assert 1 <= begun < 8
    again = run_recipe(recipe, run, progress=False, jobs=2)
    expected = run_recipe(recipe, whole, progress=False)
    for one, two in zip(again["students"], expected["students"], strict=True):
        assert {**one, "latency_ms": 0} == {**two, "latency_ms": 0}


def test_speakers_left_out_in_turn(toy_recipe, tmp_path, monkeypatch):
    """A run with folds stores what cross_validate says, goes on where it was killed, and is reported."""
    recipe = toy_recipe(upstream={"model": "small", "finetune": False})
    recipe = make_recipe({**recipe_values(recipe), "folds": 3, "dev_speakers": 1})
    whole, trained = students.cross_validate, []

    def killed_at_the_second(data, settings, **how):
        trained.append(settings.method)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return whole(data, settings, **how)

    monkeypatch.setattr(students, "cross_validate", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, tmp_path / "run", progress=False)
    results = run_recipe(recipe, tmp_path / "run", progress=False)
    assert trained == ["baseline", "nsl", "nsl"]
    assert results["folds"] == 3 and results["title"].endswith("3 groups of speakers left out in turn")
    assert (results["n_test"], results["n_test_speakers"]) == (63, 9)
    data = load_graph(tmp_path / "run" / "graph")
    for settings, row in zip(recipe.training_settings(), results["students"], strict=True):
        found = whole(data, settings, n_folds=3, n_dev=1, progress=False)
        folder = tmp_path / "run" / "students" / row["name"]
        for file, table in (("predictions", found.predictions), ("dev_predictions", found.dev_predictions)):
            stored = pd.read_csv(folder / f"{file}.csv", index_col="file")
            assert stored["predicted"].equals(table["predicted"]) and stored["fold"].equals(table["fold"])
        assert row["uar"] == found.metrics["uar"]
        assert row["dev_uar"] == evaluate(found.dev_predictions)["uar"]
        assert row["epoch"] == found.folds["epoch"].tolist()
        folds = pd.read_csv(folder / "folds.csv")
        assert len(folds) == 3 and all(len(names.split()) == 1 for names in folds["dev_speakers"])
    assert not list((tmp_path / "run").rglob(".*"))
    for changes in ({"folds": "speakers"}, {"dev_speakers": 2}):
        other = make_recipe({**recipe_values(recipe), **changes})
        with pytest.raises(InputError, match="other settings"):
            run_recipe(other, tmp_path / "run", progress=False)
