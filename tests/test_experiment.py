"""A whole run at toy size: stored stages, resuming, refusing."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import tomli_w
import torch

import ser_graph.downstream.training as training
import ser_graph.experiment as experiment
from ser_graph import cli
from ser_graph.corpora.synthesis import make_corpus
from ser_graph.downstream import load_student, predict
from ser_graph.errors import InputError
from ser_graph.evaluation import evaluate
from ser_graph.graph import load_graph
from ser_graph.recipe import make_recipe, recipe_values

pytestmark = pytest.mark.slow


def toy_recipe(folder, **changes):
    values = {
        "name": "toy",
        "source": {"corpus": "synthetic", "root": str(folder / "source")},
        "target": {"corpus": "synthetic", "root": str(folder / "target")},
        "upstream": {
            "model": "small",
            "epochs": 1,
            "learning_rate": 1e-3,
            "seconds": 0.5,
            "freeze_feature_encoder": False,
        },
        "embedding": {"seconds": 1.0},
        "features": {"n_samples": 8192},
        "graph": {"epsilon": "none", "n_neighbors": 2},
        "students": {"n_neighbors": [2], "training": {"epochs": 2}},
    }
    for key, value in changes.items():
        part, _, name = key.partition("__")
        if name:
            values[part] = {**values[part], name: value}
        else:
            values[part] = value
    return make_recipe(values)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    make_corpus(folder / "source", "source", n_clips=48, n_speakers=6)
    make_corpus(folder / "target", "target", n_clips=63, n_speakers=9)
    return folder


@pytest.fixture(scope="module")
def finished(corpora, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "toy"
    results = experiment.run(toy_recipe(corpora), out, progress=False)
    return out, results


@pytest.fixture
def a_copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "toy")
    return tmp_path / "toy"


def test_results_hold_what_is_promised(finished):
    out, results = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert len(results["students"]) == 2
    for student in results["students"]:
        for key in ("backbone", "alpha", "n_neighbors", "layer", "seed", "accuracy", "uar", "uar_low", "uar_high"):
            assert key in student
        assert student["n_params"] == 4_956_871
        assert 0 <= student["uar"] <= 1
        assert student["latency_ms"] > 0
        assert 19 < student["size_mb"] < 21
    for key in ("n_clips", "n_edges", "coverage", "homophily", "homophily_chance", "same_speaker", "recall"):
        assert key in results["graph"]
    assert results["synthetic"] and "synthetic" in results["title"]
    assert results["shared_speakers"] == []
    assert results["environment"]["packages"]["torch"].startswith("2.13")


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
    assert not list((out / ".checkpoints").rglob("*.pt"))
    assert not list(out.rglob("*.part"))


def test_numbers_follow_from_the_stored_parts(finished):
    out, results = finished
    data = load_graph(out / "graph")
    for student in results["students"]:
        folder = out / "students" / student["name"]
        stored = pd.read_csv(folder / "predictions.csv", index_col="file")
        again = predict(load_student(folder), data, "test")
        assert (stored["predicted"] == again["predicted"]).all()
        assert evaluate(again)["uar"] == student["uar"]
    assert results["graph"]["n_edges"] == data.edge_index.shape[1]
    speakers = data.table.groupby("split")["speaker"].unique()
    assert not set(speakers["train"]) & set(speakers["test"])


def test_finished_stages_are_not_done_again(finished, corpora, a_copy, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("done again")

    for name in ("train", "build_graph", "check_clips"):
        monkeypatch.setattr(experiment, name, fail)
    monkeypatch.setattr(experiment.Upstream, "finetune", fail)
    results = experiment.run(toy_recipe(corpora), a_copy, progress=False)
    assert results["students"] == finished[1]["students"]


def test_more_students_join_a_finished_run(finished, corpora, a_copy):
    results = experiment.run(toy_recipe(corpora, students__alpha=[0.0, 0.1, 1.0]), a_copy, progress=False)
    assert len(results["students"]) == 3
    assert results["students"][:2] == finished[1]["students"]


def test_killed_training_continues_to_the_same_student(finished, corpora, a_copy, monkeypatch):
    name = finished[1]["students"][1]["name"]
    wanted = load_student(a_copy / "students" / name).state_dict()
    shutil.rmtree(a_copy / "students" / name)
    save = training._Run.save

    def killed(self, path):
        save(self, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(toy_recipe(corpora), a_copy, progress=False)
    assert not (a_copy / "students" / name).exists()
    monkeypatch.setattr(training._Run, "save", save)
    epochs = []
    epoch = training._Run.epoch
    monkeypatch.setattr(training._Run, "epoch", lambda self: epochs.append(1) or epoch(self))
    experiment.run(toy_recipe(corpora), a_copy, progress=False)
    assert len(epochs) == 1  # the first of the two epochs was not done again
    got = load_student(a_copy / "students" / name).state_dict()
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)


def test_results_of_other_settings_are_not_overwritten(corpora, a_copy):
    with pytest.raises(InputError, match="graph holds the result of other settings"):
        experiment.run(toy_recipe(corpora, graph__n_neighbors=3), a_copy, progress=False)
    with pytest.raises(InputError, match="upstream holds the result of other settings"):
        experiment.run(toy_recipe(corpora, upstream__epochs=2), a_copy, progress=False)


def test_foreign_folders_are_left_alone(corpora, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds no run"):
        experiment.run(toy_recipe(corpora), tmp_path, progress=False)
    with pytest.raises(InputError, match="is a file"):
        experiment.run(toy_recipe(corpora), tmp_path / "thesis.tex", progress=False)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_bad_clips_stop_a_run_before_the_long_work(corpora, tmp_path, monkeypatch):
    shutil.copytree(corpora, tmp_path / "corpora")
    clip = sorted((tmp_path / "corpora" / "target").rglob("*.wav"))[5]
    soundfile.write(clip, np.zeros(16_000), 16_000)
    called = []
    monkeypatch.setattr(experiment.Upstream, "finetune", lambda *_, **__: called.append(1))
    with pytest.raises(InputError, match=rf"{clip.name}.*silent.*--skip-bad"):
        experiment.run(toy_recipe(tmp_path / "corpora"), tmp_path / "run", progress=False)
    assert not called
    corpus = toy_recipe(tmp_path / "corpora").target
    table = experiment.prepare_corpus(corpus, tmp_path / "kept", skip_bad=True)
    assert len(table) == 62
    assert clip.name in (tmp_path / "kept" / "problems.csv").read_text()


def test_a_full_disk_is_noticed_first(corpora, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs about .* GB .*free"):
        experiment.run(toy_recipe(corpora), tmp_path / "run", progress=False)


def test_useless_epsilon_names_a_better_one_and_keeps_the_upstream(corpora, a_copy):
    shutil.rmtree(a_copy / "graph")
    with pytest.raises(InputError, match=r"epsilon=0.9999999 leaves no edge.*try epsilon="):
        experiment.run(toy_recipe(corpora, graph__epsilon=0.9999999), a_copy, progress=False)
    assert (a_copy / "upstream" / "stage.json").exists()


def test_a_changed_corpus_is_noticed(corpora, a_copy, tmp_path):
    shutil.copytree(corpora, tmp_path / "corpora")
    moved = toy_recipe(tmp_path / "corpora")
    assert len(experiment.prepare_corpus(moved.target, a_copy / "target")) == 63  # elsewhere, but the same
    next((tmp_path / "corpora" / "target").rglob("*.wav")).unlink()
    with pytest.raises(InputError, match="target holds the result of other settings or inputs"):
        experiment.run(moved, a_copy, progress=False)


def test_dev_is_predicted_too_unless_trained_on(finished):
    out, results = finished
    data = load_graph(out / "graph")
    for student in results["students"]:
        folder = out / "students" / student["name"]
        dev = pd.read_csv(folder / "dev_predictions.csv", index_col="file")
        assert set(dev.index) == set(data.table.index[data.table["split"] == "dev"])
        history = json.loads((folder / "model.json").read_text())["info"]["history"]
        assert student["dev_uar"] == pytest.approx(history[student["epoch"] - 1]["dev_uar"])
        assert student["dev_accuracy"] == pytest.approx((dev["predicted"] == dev["emotion"]).mean())
    trained_on = experiment.TrainingSettings(protocol="paper")
    assert experiment._predict_dev(load_student(folder), data, trained_on) is None


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def without_students(run, to):
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("students", "figures", "results.json"))
    return to


def test_side_by_side_trains_the_same_students(finished, corpora, tmp_path, one_thread):
    recipe = toy_recipe(corpora, students__seed=[0, 1])
    runs = [without_students(finished[0], tmp_path / name) for name in ("one", "two")]
    results = [
        experiment.run(recipe, run, progress=False, jobs=jobs) for run, jobs in zip(runs, (1, 2), strict=True)
    ]
    for one, two in zip(*(result["students"] for result in results), strict=True):
        assert {**one, "latency_ms": 0} == {**two, "latency_ms": 0}
        weights = [load_student(run / "students" / one["name"]).state_dict() for run in runs]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not list((runs[1] / ".checkpoints").rglob("*.pt"))


def test_a_mistake_in_a_process_of_its_own_is_one_line(finished, corpora, tmp_path):
    recipe = toy_recipe(corpora, students__training={"epochs": 2, "learning_rate": 1e30})
    with pytest.raises(
        InputError, match="The loss is not finite in epoch 1; lower learning_rate or alpha"
    ) as raised:
        experiment.run(recipe, without_students(finished[0], tmp_path / "run"), progress=False, jobs=2)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="Bad jobs 0, expected at least 1"):
        experiment.run(recipe, tmp_path / "run", jobs=0)


def test_a_grid_killed_side_by_side_continues(finished, corpora, tmp_path, one_thread):
    """Killed without a chance to clean up: its processes leave with it, and the same call ends the same."""
    recipe = toy_recipe(corpora, students__training={"epochs": 8})
    run, whole = (without_students(finished[0], tmp_path / name) for name in ("killed", "whole"))
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(recipe_values(recipe)))
    command = [sys.executable, "-m", "ser_graph", "run", str(file), "--out", str(run), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(run.glob(".checkpoints/*.pt")):
            time.sleep(0.05)
        process.kill()
        # Its workers hold the other end of the pipe: it closes when the last of them is gone.
        said = process.stderr.read().decode()
    left = list(run.glob(".checkpoints/*.pt"))
    assert left and not (run / "results.json").exists(), said
    begun = min(len(torch.load(checkpoint, weights_only=True)["history"]) for checkpoint in left)
    assert 1 <= begun < 8
    again = experiment.run(recipe, run, progress=False, jobs=2)
    expected = experiment.run(recipe, whole, progress=False)
    for one, two in zip(again["students"], expected["students"], strict=True):
        assert {**one, "latency_ms": 0} == {**two, "latency_ms": 0}


def test_a_toy_study_end_to_end(finished, corpora, a_copy, tmp_path, monkeypatch, capsys):
    """Two alphas and two seeds, the same under protocol paper, and their report from the command line."""
    grid = {"students__alpha": [0.0, 0.1, 1.0], "students__seed": [0, 1]}
    experiment.run(toy_recipe(corpora, **grid), a_copy, progress=False, jobs=2)
    paper = tmp_path / "paper"
    shutil.copytree(a_copy, paper, ignore=shutil.ignore_patterns("students", "graph", "results.json"))
    experiment.run(toy_recipe(corpora, protocol="paper", **grid), paper, progress=False, jobs=2)

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
    # What the table says of the chosen setting, from the stored predictions.
    dev = students[(students["protocol"] == "clean") & (students["alpha"] > 0)].groupby("alpha")["dev_uar"].mean()
    of_paper = students[(students["protocol"] == "paper") & (students["alpha"] == dev.idxmax())]
    values = [evaluate(pd.read_csv(f"{folder}/predictions.csv"))["uar"] for folder in of_paper["folder"]]
    (row,) = [
        line for line in text.splitlines() if line.startswith("| resnet9 | NSL") and line.endswith("| chosen |")
    ]
    assert f"| {100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f} |" in row
    code, said = report(a_copy, paper, "--out", tmp_path / "practice", "--choose", "test")
    assert code == 0
    assert "test-selected, not a test result (synthetic speech)" in (tmp_path / "practice/report.md").read_text()
    code, said = report(a_copy, paper, "--out", tmp_path / "third", "--choose", "train")
    assert code == 1 and "Bad split to choose by 'train'" in said.err and "Traceback" not in said.err


def test_speakers_left_out_in_turn(corpora, tmp_path, monkeypatch):
    """A run with folds stores what cross_validate says, goes on where it was killed, and is reported."""
    recipe = toy_recipe(corpora, upstream={"model": "small", "finetune": False})
    recipe = make_recipe({**recipe_values(recipe), "folds": 3})
    whole, trained = experiment.cross_validate, []

    def killed_at_the_second(data, settings, **how):
        trained.append(settings.alpha)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return whole(data, settings, **how)

    monkeypatch.setattr(experiment, "cross_validate", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(recipe, tmp_path / "run", progress=False)
    results = experiment.run(recipe, tmp_path / "run", progress=False)
    assert trained == [0.0, 0.1, 0.1]
    assert results["folds"] == 3 and results["title"].endswith("3 groups of speakers left out in turn")
    assert (results["n_test"], results["n_test_speakers"]) == (63, 9)
    data = load_graph(tmp_path / "run" / "graph")
    for settings, row in zip(recipe.training_settings(), results["students"], strict=True):
        found = whole(data, settings, n_folds=3, progress=False)
        folder = tmp_path / "run" / "students" / row["name"]
        for file, table in (("predictions", found.predictions), ("dev_predictions", found.dev_predictions)):
            stored = pd.read_csv(folder / f"{file}.csv", index_col="file")
            assert stored["predicted"].equals(table["predicted"]) and stored["fold"].equals(table["fold"])
        assert row["uar"] == found.metrics["uar"]
        assert row["dev_uar"] == evaluate(found.dev_predictions)["uar"]
        assert row["epoch"] == found.folds["epoch"].tolist()
        assert len(pd.read_csv(folder / "folds.csv")) == 3
    assert not (tmp_path / "run" / ".checkpoints" / "resnet9-baseline-seed0").exists()
    other = make_recipe({**recipe_values(recipe), "folds": "speakers"})
    with pytest.raises(InputError, match="other settings"):
        experiment.run(other, tmp_path / "run", progress=False)


def test_several_sources_teach_together(corpora, tmp_path):
    """Their clips are joined with their labels; of a label that the first has not, a map is asked for."""
    sources = [{"corpus": "synthetic", "root": str(corpora / name)} for name in ("source", "target")]
    with pytest.raises(InputError, match="synthetic-2 has emotions that the first corpus has not: guilt; load it"):
        experiment.prepare_source(toy_recipe(corpora, source=sources), tmp_path / "wrong")
    sources[1]["labels"] = {"guilt": "sadness"}
    recipe = toy_recipe(corpora, source=sources)
    source = experiment.prepare_source(recipe, tmp_path / "run")
    assert source.groupby("corpus").size().to_dict() == {"synthetic": 48, "synthetic-2": 63}
    assert source["emotion"].notna().all()
    upstream = experiment.prepare_upstream(recipe, source, tmp_path / "run", progress=False)
    assert upstream.info["corpus"] == "synthetic+synthetic-2"
    assert upstream.info["n_train"] == (source["split"] == "train").sum()
    with pytest.raises(InputError, match=r"upstream.finetune = true needs a \[source\] corpus"):
        toy_recipe(corpora, source=[])


def test_a_source_without_an_emotion_of_the_target_is_refused(corpora, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "prepare_upstream", lambda *_, **__: pytest.fail("the long work began"))
    recipe = toy_recipe(corpora, source__emotions=["anger", "fear"], target__emotions=["happiness", "sadness"])
    with pytest.raises(
        InputError,
        match=r"source's emotions \['anger', 'fear'\] have nothing in common with the target's \['happiness', 'sa",
    ):
        experiment.run(recipe, tmp_path / "run", progress=False)
