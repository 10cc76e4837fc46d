"""Checkpoints of a training with other structures and with values that are not finite."""

import random

import pytest
import torch

from ser_graph.downstream import train

MOST = 2**27  # bytes of Python and NumPy: a training step, not torch's tensors
HOW = {"width": 0.1, "epochs": 2, "epoch_steps": 1, "batch_size": 8, "progress": False, "keep": "best"}


@pytest.fixture
def path(toy_graph, tmp_path):
    train(toy_graph, checkpoint=tmp_path, **HOW)
    return tmp_path / "training" / "checkpoint.pt"


def test_structures(toy_graph, path, tmp_path, trials, damaged):
    rng, whole = random.Random(0), path.read_bytes()
    state = torch.load(path, weights_only=True)
    for number in trials.numbers(60):
        path.write_bytes(damaged(rng, whole)) if number % 3 == 0 else torch.save(changed(rng, state), path)
        student = trials(
            number, lambda: train(toy_graph, checkpoint=tmp_path, **HOW), most_bytes=MOST, naming=str(path)
        )
        if student is not None:
            trials.expect(number, len(student.info["history"]) == 2)
            trials.expect(number, all(value.isfinite().all() for value in student.state_dict().values()))
    path.write_bytes(whole)
    trials("whole", lambda: train(toy_graph, checkpoint=tmp_path, **HOW), most_bytes=MOST)


def changed(rng: random.Random, state: dict) -> object:
    """Another structure, or another value in it."""
    odd = [None, 3, "x", [], {}, [{"epoch": "one"}], [None], torch.zeros(3), {"x": torch.zeros(1)}]
    if rng.random() < 0.1:
        return rng.choice(odd)
    part = rng.choice(sorted(state))
    if rng.random() < 0.5 or not isinstance(state[part], dict) or not state[part]:
        without = {name: one for name, one in state.items() if name != part}
        return {**without, part: rng.choice(odd)} if rng.random() < 0.8 else without
    name = rng.choice(list(state[part]))
    value = state[part][name]
    nan = (
        torch.full_like(value, float("nan")) if isinstance(value, torch.Tensor) and value.is_floating_point() else 0
    )
    return {**state, part: {**state[part], name: rng.choice([*odd, nan, nan, nan])}}
