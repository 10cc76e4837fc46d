"""The students of a run: stored, killed and continued."""

import json
import shutil

import pandas as pd
import pytest
import torch

import ser_graph.downstream.training as training
from ser_graph.downstream import TrainingSettings, load_student
from ser_graph.errors import InputError
from ser_graph.evaluation import evaluate
from ser_graph.experiment import run as run_recipe, students
from ser_graph.experiment.recipe_files import make_recipe, recipe_values
from ser_graph.graph import load_graph

pytestmark = pytest.mark.slow


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
