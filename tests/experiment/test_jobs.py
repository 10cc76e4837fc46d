"""The students of a run side by side: by processes of joblib and by workers of submitit, some of them killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w
import torch

from ser_graph.common.locks import lock_if_free
from ser_graph.downstream import TrainingSettings, load_student
from ser_graph.errors import InputError
from ser_graph.experiment import jobs, run as run_recipe, students
from ser_graph.experiment.recipe_files import make_recipe, recipe_values
from ser_graph.experiment.workers import Part
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
    whole = jobs.asked_of_data
    monkeypatch.setattr(jobs, "asked_of_data", lambda data: hashed.append(data) or whole(data))
    monkeypatch.setattr(jobs, "prepare_student", lambda *given, **_: prepared.append(given[3]))
    jobs.prepare_students(data, [TrainingSettings(seed=seed) for seed in range(3)], tmp_path, progress=False)
    assert len(hashed) == 1
    assert prepared == [whole(data)] * 3


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
    same_results(again, expected)
    for one in again["students"]:
        weights = [load_student(folder / "students" / one["name"]).state_dict() for folder in (run, whole)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not list(run.rglob("*.pt"))


def test_folds_side_by_side_are_those_one_after_the_other(toy_recipe, tmp_path, one_thread):
    recipe = with_folds(toy_recipe)
    expected = run_recipe(recipe, tmp_path / "one", progress=False)
    found = run_recipe(recipe, tmp_path / "two", progress=False, jobs=2)
    same_results(found, expected)
    assert not list((tmp_path / "two").rglob(".*"))


def with_folds(toy_recipe, **training):
    training = {"epochs": 2, "epoch_steps": 1, "precision": "float32", **training}
    recipe = toy_recipe(upstream={"model": "small", "finetune": False}, students__training=training)
    return make_recipe({**recipe_values(recipe), "folds": 3})


def same_results(found, expected):
    for one, two in zip(found["students"], expected["students"], strict=True):
        assert {**one, "latency_ms": 0} == {**two, "latency_ms": 0}


def command(recipe, run, tmp_path, *options):
    file = tmp_path / "recipe.toml"
    file.write_text(tomli_w.dumps(recipe_values(recipe)))
    return [sys.executable, "-m", "ser_graph", "run", str(file), "--out", str(run), *options]


def workers_at_work(run, n):
    """The process numbers of `n` workers that have trained an epoch; a lock names its process."""
    while True:
        time.sleep(0.02)
        for marks in (run.glob("students/.*.work/.lock"), run.glob("students/.*.work/folds/.*.work/.lock")):
            begun = [mark for mark in marks if (mark.parent / "training" / "checkpoint.pt").exists()]
            if len(begun) >= n:
                return [int(re.match(r"process (\d+) ", mark.read_text())[1]) for mark in begun[:n]]


def test_a_lost_worker_costs_its_job_only(toy_recipe, tmp_path, one_thread):
    """Three workers, one of them killed in the middle of a fold: the command ends as if nothing had happened."""
    pytest.importorskip("submitit")
    recipe, run = with_folds(toy_recipe, epochs=6), tmp_path / "run"
    expected = run_recipe(recipe, tmp_path / "whole", progress=False)
    options = ("--jobs", "3", "--cluster", "local", "--cluster-set", "timeout_min=10")
    with subprocess.Popen(command(recipe, run, tmp_path, *options), stderr=subprocess.PIPE, text=True) as process:
        lost = workers_at_work(run, 2)[0]
        os.kill(lost, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    logs = list((run / "jobs" / "logs").glob("*_submitted.pkl"))
    assert len(logs) >= 3
    assert len(list((run / "jobs" / "logs").glob("*_result.pkl"))) == len(logs) - 1  # the lost one has none
    results = run_recipe(recipe, run, progress=False)  # all is finished
    same_results(results, expected)


def test_workers_outlive_the_command_that_started_them(finished, toy_recipe, tmp_path, one_thread):
    """The command is killed, and started again while its workers still train: no student is trained twice."""
    pytest.importorskip("submitit")
    recipe = toy_recipe(students__training={"epochs": 12, "epoch_steps": 1})
    run, whole = (without_students(finished[0], tmp_path / name) for name in ("run", "whole"))
    options = ("--jobs", "2", "--cluster", "local", "--cluster-set", "timeout_min=10")
    with subprocess.Popen(command(recipe, run, tmp_path, *options), stderr=subprocess.DEVNULL) as process:
        begun = workers_at_work(run, 2)
        process.kill()
    results = run_recipe(recipe, run, progress=False, jobs=2, cluster="local")
    for worker in begun:
        while Path(f"/proc/{worker}").exists():
            time.sleep(0.05)
    assert len(list((run / "jobs" / "logs").glob("*_submitted.pkl"))) == 2  # nothing was left for new workers
    same_results(results, run_recipe(recipe, whole, progress=False))


def test_a_job_that_a_worker_holds_is_left_to_it(finished, toy_recipe, tmp_path):
    recipe = toy_recipe()
    run = without_students(finished[0], tmp_path / "run")
    data, grid = load_graph(run / "graph"), recipe.training_settings()
    shared = jobs._Run(run, jobs.asked_of_data(data), None)
    parts = [job for settings in grid for job in jobs._jobs(shared, data, settings)]
    with lock_if_free(run / "jobs" / "locks" / parts[0].part.name) as taken:
        assert taken
        shared.do_free(parts, "cpu")
    assert [job.part.is_finished for job in parts] == [False, True]
    before = (parts[1].part.mark.parent / "model.safetensors").stat().st_mtime_ns
    shared.do_free(parts, "cpu")
    assert [job.part.is_finished for job in parts] == [True, True]
    assert (parts[1].part.mark.parent / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_that_shows_a_result_late_costs_no_training(finished, toy_recipe, a_copy, monkeypatch):
    """A worker whose look at the folder is old asks the stage, which reads the folder again."""
    run = a_copy
    data, grid = load_graph(run / "graph"), toy_recipe().training_settings()
    shared = jobs._Run(run, jobs.asked_of_data(data), None)
    parts = [job for settings in grid for job in jobs._jobs(shared, data, settings)]
    monkeypatch.setattr(Part, "is_finished", False)
    monkeypatch.setattr(students, "train", lambda *_, **__: pytest.fail("trained again"))
    shared.do_free(parts, "cpu")


def test_what_a_cluster_refuses_is_one_line(finished, toy_recipe, tmp_path):
    pytest.importorskip("submitit")
    run = without_students(finished[0], tmp_path / "run")
    for how, message in (
        ({"cluster": "kubernetes"}, "Bad cluster 'kubernetes', expected one of"),
        ({"cluster": "local", "cluster_parameters": {"slurm_partitoin": "gpu"}}, "Unknown argument 'partitoin'"),
        ({"cluster": "local", "cluster_parameters": {"timeout_min": "long"}}, "expected type"),
        *([] if shutil.which("sbatch") else [({"cluster": "slurm"}, "does not start workers on slurm")]),
    ):
        with pytest.raises(InputError, match=message) as raised:
            run_recipe(toy_recipe(), run, progress=False, jobs=2, **how)
        assert "\n" not in str(raised.value)
    broken = toy_recipe(students__training={"epochs": 2, "epoch_steps": 1, "learning_rate": 1e30})
    with pytest.raises(InputError, match="The loss is not finite in epoch 1"):
        run_recipe(broken, run, progress=False, jobs=2, cluster="local")
