"""Trainings on a graph in shards: four real processes against one, and one against `train` on the whole graph."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ser_graph.common.distributed import Processes
from ser_graph.downstream import (
    Student,
    TrainingSettings,
    load_student,
    predict_clips,
    sharded,
    train,
    train_shards,
    training as training_module,
)
from ser_graph.downstream.teacher import training_view
from ser_graph.errors import InputError
from ser_graph.graph import save_graph, split_graph

# A low rate, because Adam's first steps are the signs of gradients; see test_spreading.
QUICK = {
    "epochs": 2,
    "epoch_steps": 3,
    "batch_size": 16,
    "width": 0.25,
    "augment": "none",
    "precision": "float32",
    "learning_rate": 1e-5,
}
NSL = {"method": "nsl", "strategy": "memory_bank"}
CELLS = {
    "baseline": {"method": "baseline"},
    "nsl": NSL,
    "fc1": {**NSL, "layer": "fc1", "n_neighbors": 2, "edge_weights": False},
    "teacher": {
        "method": "distil+nsl+regress",
        "strategy": "memory_bank",
        "normalise": "speaker",
        "other_labels": 5,
    },
    "paper": {**NSL, "schedule": "paper", "normalise": "corpus", "reduction": "sum"},
}
SCRIPT = Path(__file__).with_name("sharded_processes.py")


@pytest.fixture(scope="module")
def start(start_script):
    return partial(start_script, SCRIPT, processes=4)


@pytest.fixture(scope="module")
def stored(_toy_graph, tmp_path_factory):
    """The toy graph in four shards; a fifth of the training clips has labels that only the probe may learn."""
    return split_graph(with_others(_toy_graph), tmp_path_factory.mktemp("stored") / "shards", 4).folder


def with_others(data):
    data = data.clone()
    hidden = (np.arange(120) % 5 == 0) & (data.table["split"] == "train")
    emotion = data.table["emotion"]
    data.table = data.table.assign(emotion=emotion.mask(hidden), other_emotion=emotion.where(hidden))
    return data


@pytest.fixture(scope="module")
def trained(start, stored, tmp_path_factory):
    """Folders with every cell, by one process and by four."""
    folders = {}
    for processes in (1, 4):
        folders[processes] = tmp_path_factory.mktemp("trained")
        cells = [{**QUICK, **cell} for cell in CELLS.values()]
        done = start(stored, folders[processes], *cells, processes=processes)
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_four_processes_make_the_steps_of_one(trained, name):
    number = list(CELLS).index(name)
    one, four = (json.loads((folder / f"{number}.json").read_text()) for folder in trained.values())
    for here, there in zip(one, four, strict=True):
        assert here.keys() == there.keys()
        for key, value in here.items():
            if key != "seconds":
                assert there[key] == pytest.approx(value, rel=1e-3, abs=1e-4), key
    assert (f"{CELLS[name]['method']}_loss" in one[0]) == (name != "baseline")
    one, four = (load_file(folder / f"{number}.safetensors") for folder in trained.values())
    for key, value in one.items():
        torch.testing.assert_close(four[key], value, rtol=1e-3, atol=2e-4, msg=key)


@pytest.mark.slow
def test_a_process_holds_a_quarter(trained):
    (one,) = trained[1].glob("bytes-*.json")
    (whole, *_), four = (
        json.loads(one.read_text()),
        [json.loads(file.read_text()) for file in trained[4].glob("bytes-*")],
    )
    assert len(four) == 4
    for sizes in four:
        assert sizes[0] == pytest.approx(whole / 4, rel=0.02)


def test_the_probe_is_that_of_the_whole_graph(toy_graph, tmp_path):
    data, settings = with_others(toy_graph), TrainingSettings(method="distil", center="speaker", other_labels=10)
    whole = training_view(data, data.train_mask, data.train_mask & (data.y >= 0), settings)
    shards = split_graph(data, tmp_path / "shards", 4)
    teacher = sharded._Run(shards, settings, Processes(), torch.device("cpu")).teacher
    for number in range(4):
        shard = shards.load(number)
        rows = shard.train_mask.nonzero()[:, 0]
        found = teacher.log_probs(teacher.embeddings(shard, rows), 3)
        files = pd.read_csv(tmp_path / "shards" / f"{number:03d}" / "clips.csv")["file"]
        expected = whole.teacher_log_probs[[data.node(files[row]) for row in rows.tolist()]]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("nsl", {}),
        ("regress", {"center": "none", "normalise": "corpus", "schedule": "paper"}),
        ("distil+regress", {"center": "speaker", "normalise": "speaker"}),
        ("distil+nsl", {"center": "corpus", "reduction": "sum"}),
    ],
)
def test_one_batch_of_all_clips_is_that_of_the_whole_graph(toy_graph, tmp_path, method, changes, monkeypatch):
    """`train` is the oracle: in a batch of all training clips, the order of the seeds does not matter."""
    monkeypatch.setattr(training_module, "UNKNOWN_VOICES", 0.0)
    split = toy_graph.table["split"].to_numpy(copy=True)
    split[:3] = None  # 72 training clips
    toy_graph.table = toy_graph.table.assign(split=split)
    keep = toy_graph.train_mask[toy_graph.edge_index].all(0)
    toy_graph.edge_index, toy_graph.edge_weight = toy_graph.edge_index[:, keep], toy_graph.edge_weight[keep]
    split_graph(toy_graph, tmp_path / "shards", 4)
    how = {**QUICK, "method": method, "strategy": "memory_bank", "batch_size": 72, "epoch_steps": 1, **changes}
    where = {"device": "cpu", "progress": False}
    whole, shards = train(toy_graph, **how, **where), train_shards(tmp_path / "shards", **how, **where)
    assert isinstance(shards, Student)
    for one, other in zip(whole.info["history"], shards.info["history"], strict=True):
        for name in ("loss", "supervised_loss", f"{whole.info['settings']['method']}_loss"):
            assert other[name] == pytest.approx(one[name], rel=1e-4), name
    if "nsl" in method:
        assert shards.info["history"][0]["edges_used"] == 1
    for name in ("n_train", "n_labelled", "n_unlabelled", "data_hash"):
        assert shards.info[name] == whole.info[name]
    for (name, one), other in zip(whole.named_parameters(), shards.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=3e-5, msg=name)
    for name in ("mean", "std"):
        torch.testing.assert_close(getattr(shards.standardise, name), getattr(whole.standardise, name))


def test_copies_and_clips_of_other_corpora_count_as_in_the_whole_graph(copied_graph, tmp_path):
    """They teach, but the front end and the numbers of clips are those of the labelled corpus."""
    data = copied_graph
    original = data.table["copy_of"].isna()
    data.table = data.table.assign(corpus=np.where(data.table["speaker"].str[:2] < "s2", "one", "other"))
    lent = (data.table["corpus"] == "other") & (data.table["split"] == "train")
    data.table = data.table.assign(emotion=data.table["emotion"].mask(lent))
    assert 0 < int(lent.sum()) < int((data.table["split"] == "train").sum()) and not original.all()
    split_graph(data, tmp_path / "shards", 4)
    how = {**QUICK, "method": "distil+regress", "center": "corpus", "epochs": 1, "device": "cpu", "progress": False}
    whole, shards = train(data, **how), train_shards(tmp_path / "shards", **how)
    for name in ("n_train", "n_labelled", "n_unlabelled"):
        assert shards.info[name] == whole.info[name], name
    for name in ("mean", "std"):
        torch.testing.assert_close(getattr(shards.standardise, name), getattr(whole.standardise, name))


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_fewer_processes_go_on(start, stored, trained, tmp_path):
    """One process of four is killed in the second epoch; two processes continue, and end with the same student."""
    cell = {**QUICK, **CELLS["nsl"], "checkpoint": "c"}
    killed = start(stored, tmp_path, {**cell, "die": 1})
    assert killed.returncode != 0 and not (tmp_path / "0.json").exists()
    assert sorted(file.name for file in (tmp_path / "c" / "training").glob("*.pt")) == [
        *(f"bank-1-{shard:03d}.pt" for shard in range(4)),
        "checkpoint.pt",
    ], killed.stderr
    done = start(stored, tmp_path, cell, processes=2)
    assert done.returncode == 0, done.stderr
    history = json.loads((trained[4] / "1.json").read_text())
    again = json.loads((tmp_path / "0.json").read_text())
    assert [row["loss"] for row in again] == pytest.approx([row["loss"] for row in history], rel=1e-3)
    weights = load_file(trained[4] / "1.safetensors")
    for key, value in load_file(tmp_path / "0.safetensors").items():
        torch.testing.assert_close(value, weights[key], rtol=1e-3, atol=2e-4, msg=key)


def test_a_damaged_checkpoint_is_one_line(stored, tmp_path):
    how = {**QUICK, **CELLS["nsl"], "checkpoint": tmp_path, "device": "cpu", "progress": False}
    train_shards(stored, **how)
    assert len(list((tmp_path / "training").glob("bank-2-*.pt"))) == 4
    (tmp_path / "training" / "bank-2-001.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"is damaged .*delete it to start anew") as raised:
        train_shards(stored, **how)
    assert "\n" not in str(raised.value)


def test_the_command_line_splits_and_trains(toy_graph, tmp_path, call):
    save_graph(toy_graph, tmp_path / "graph")
    code, said, _ = call("split", tmp_path / "graph", "--shards", "4", "--out", tmp_path / "shards")
    assert (code, said.splitlines()) == (0, [f"120 clips in 4 shards in {tmp_path / 'shards'}"])
    settings = {
        name: value for name, value in {**QUICK, **NSL}.items() if name not in ("method", "width", "epochs")
    }
    options = [part for item in settings.items() for part in ("--set", "{}={}".format(*item))]
    command = ("train", tmp_path / "shards", "--method", "nsl", "--width", "0.25", "--epochs", "2", *options)
    code, _, error = call(*command, "--device", "cpu", "--out", tmp_path / "student")
    assert code == 0, error
    trained = train_shards(tmp_path / "shards", **{**QUICK, **NSL}, device="cpu", progress=False)
    stored = load_student(tmp_path / "student")
    assert all(torch.equal(one, stored.state_dict()[name]) for name, one in trained.state_dict().items())
    assert predict_clips(stored, toy_graph, "test").shape[0] == 30
    code, _, error = call(*command, "--init", "ready:small", "--out", tmp_path / "other")
    assert code == 1 and "--init is not for a graph in shards" in error


def test_what_needs_the_whole_graph_is_refused(stored, tmp_path, monkeypatch):
    for changes, message in (
        ({"method": "graph"}, "expected labels alone, or methods distil, regress or nsl"),
        ({"method": "nsl"}, "strategy='memory_bank'"),
        ({"method": "distil", "teacher": "gnn"}, "teacher='probe'"),
        ({"method": "distil", "align": "mine"}, "expected align=None"),
        ({**NSL, "label_fraction": 0.5}, "expected all labels"),
        ({**NSL, "batch_size": 10}, "Bad batch_size 10, expected a multiple of the 4 shards"),
    ):
        with pytest.raises(InputError, match=message):
            train_shards(stored, **{**QUICK, **changes})
    with pytest.raises(InputError, match="is no graph in shards; make one with split_graph"):
        train_shards(tmp_path, **{**QUICK, **NSL})
    monkeypatch.setattr(sharded, "processes", lambda: Processes(0, 3))
    with pytest.raises(InputError, match="4 shards cannot be divided by 3 processes"):
        train_shards(stored, **{**QUICK, **NSL})
