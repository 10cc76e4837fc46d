"""Two real processes, started by torchrun and connected by gloo."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from ser_graph.common.distributed import ALONE
from ser_graph.downstream import train
from ser_graph.downstream.spreading import JointBatchNorm, join_batch_norms, part_batch_norms
from ser_graph.downstream.student import Student
from ser_graph.graph import save_graph

# Adam's first steps are the signs of gradients: at its usual rate, one rounding of a gradient near 0 moves the loss
# by percents. At this rate the loss still falls by a seventh or more in two epochs, and roundings stay roundings.
QUICK = {
    "epochs": 2,
    "epoch_steps": 1,
    "batch_size": 17,
    "width": 0.25,
    "augment": "none",  # every process has draws of its own
    "normalise": "corpus",
    "precision": "float32",
    "progress": False,
    "learning_rate": 1e-5,
}
CELLS = {
    "baseline": {"alpha": 0},
    "forward": {},
    "memory_bank": {"strategy": "memory_bank"},
    "official": {"semantics": "official"},
    "paper": {"schedule": "paper"},
    "best": {"keep": "best", "strategy": "memory_bank"},
    "graph": {"method": "graph"},
    "regress": {"method": "regress"},
    "distil": {"method": "distil"},
    "utterance": {"alpha": 0, "normalise": "utterance", "batch_size": 37},  # the last batch is one clip
    "speaker": {"alpha": 0, "normalise": "speaker"},
    "transfer": {"alpha": 0, "transfer": "add", "width": 0.0625},  # fc1 is as wide as the embeddings
    "few labels": {"strategy": "memory_bank", "label_fraction": 0.2},
    "bfloat16": {"precision": "bfloat16"},  # what precision="auto" is on many machines
}
SCRIPT = Path(__file__).with_name("several_processes.py")


@pytest.fixture(scope="module")
def start(start_script):
    return partial(start_script, SCRIPT, processes=2)


@pytest.fixture(scope="module")
def stored(_toy_graph, tmp_path_factory):
    return save_graph(_toy_graph, tmp_path_factory.mktemp("stored") / "graph")


@pytest.fixture(scope="module")
def trained(start, stored, tmp_path_factory):
    """Folders with every cell, by one process and by two."""
    folders = {}
    for processes in (1, 2):
        folders[processes] = tmp_path_factory.mktemp("trained")
        cells = [{**QUICK, **cell} for cell in CELLS.values()]
        done = start(stored, folders[processes], *cells, processes=processes)
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("name", CELLS)
def test_two_processes_make_the_steps_of_one(trained, name):
    number = list(CELLS).index(name)
    one, two = (load_file(folder / f"{number}-gradients.safetensors") for folder in trained.values())
    assert one.keys() == two.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    if name == "bfloat16":  # three digits: single numbers are rounded apart, the direction stays
        both = [torch.cat([found[key].flatten() for key in one]) for found in (one, two)]
        assert float(functional.cosine_similarity(*both, dim=0)) > 0.98
    for key, gradient in one.items() if name != "bfloat16" else ():
        assert float((two[key] - gradient).abs().max()) < 2e-4 * largest, key
    one, two = (json.loads((folder / f"{number}.json").read_text()) for folder in trained.values())
    for here, there in zip(one, two, strict=True):
        assert here.keys() == there.keys()
        assert there["loss"] == pytest.approx(here["loss"], rel=0.05 if name == "bfloat16" else 1e-3)
        assert there["edge_coverage"] == here["edge_coverage"]
        assert there.get("edges_used") == here.get("edges_used")
        assert {name for name in there if name.startswith("dev_")} == {name for name in here if name[:4] == "dev_"}


@pytest.mark.parametrize("name", CELLS)
def test_two_processes_end_with_the_student_of_one(trained, name):
    """Weights move by the rate at most; statistics of BatchNorm and the standardisation show the same clips."""
    number = list(CELLS).index(name)
    one, two = (load_file(folder / f"{number}.safetensors") for folder in trained.values())
    assert one.keys() == two.keys()
    for key, value in one.items():
        rough = name == "bfloat16"
        torch.testing.assert_close(
            two[key], value, rtol=0.05 if rough else 1e-3, atol=0.05 if rough else 2e-4, msg=key
        )


@pytest.mark.parametrize("name", ["memory_bank", "graph"])
def test_a_killed_process_ends_the_run_and_a_restart_goes_on(start, stored, trained, tmp_path, name):
    cell = {**QUICK, **CELLS[name], "checkpoint": "c"}
    killed = start(stored, tmp_path, {**cell, "die": 1})
    assert killed.returncode != 0
    assert "The connection to the other processes is lost" in killed.stderr or "SIGKILL" in killed.stderr
    assert (tmp_path / "c" / "training" / "checkpoint.pt").exists(), killed.stderr
    assert not (tmp_path / "0.json").exists()
    assert start(stored, tmp_path, cell).returncode == 0
    number = list(CELLS).index(name)
    history = json.loads((trained[2] / f"{number}.json").read_text())
    again = json.loads((tmp_path / "0.json").read_text())
    assert [row["loss"] for row in again] == [row["loss"] for row in history]
    weights = load_file(trained[2] / f"{number}.safetensors")
    for key, value in load_file(tmp_path / "0.safetensors").items():
        assert torch.equal(value, weights[key]), key


def test_processes_that_do_not_agree_do_not_begin(start, stored, tmp_path):
    done = start(stored, tmp_path, {**QUICK, "disagree": True})
    assert done.returncode != 0
    assert "do not agree on data and settings" in done.stderr
    assert 'several_processes.py", line' not in done.stderr


def test_more_processes_than_clips_are_refused(toy_graph, monkeypatch):
    from ser_graph.common.distributed import Processes
    from ser_graph.downstream import training
    from ser_graph.errors import InputError

    monkeypatch.setattr(training, "processes", lambda: Processes(0, 76))
    with pytest.raises(InputError, match="76 processes for 75 training clips"):
        train(toy_graph, **QUICK)


def test_joint_batch_norm_of_one_process_is_batch_norm():
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 2)
    plain, joint = (nn.Sequential(nn.BatchNorm2d(3, eps=1e-3, momentum=0.01)) for _ in range(2))
    join_batch_norms(joint, ALONE)
    assert isinstance(joint[0], JointBatchNorm)
    results = []
    for model in (plain, joint):
        given = x.clone().requires_grad_()
        y = model(given)
        (y.sin() * torch.arange(2)).sum().backward()
        results.append((y, given.grad, model[0].weight.grad, *model[0].buffers()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    part_batch_norms(joint)
    assert type(joint[0]) is nn.BatchNorm2d
    assert "group" not in vars(joint[0])
    torch.testing.assert_close(joint.eval()(x), plain.eval()(x))


def test_joint_batch_norm_counts_in_float32_whatever_it_is_given():
    torch.manual_seed(0)
    x = torch.randn(64, 3, 4, 2) + 10
    plain, joint = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    join_batch_norms(joint, ALONE)
    y = joint(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), plain(x.bfloat16().float()), rtol=0.01, atol=0.01)
    torch.testing.assert_close(joint[0].running_var, plain.running_var, rtol=1e-4, atol=1e-5)


def test_a_student_trained_is_an_ordinary_one(toy_graph):
    student = train(toy_graph, **{**QUICK, "epochs": 1, "alpha": 0})
    assert isinstance(student, Student)
    assert not any(isinstance(module, JointBatchNorm) for module in student.modules())
