"""The further terms of benchmarks/across_voices.py, by hand and in a short training."""

import math
from types import SimpleNamespace

import pytest
import torch

import ser_graph as sg
from ser_graph.downstream import TrainingSettings, training

TERMS = ("Adversary", "Contrast", "OtherLabels")


@pytest.fixture(scope="module")
def across(load_benchmark):
    """benchmarks/across_voices.py as a module."""
    return load_benchmark("across_voices")


def step_of(fc1, logits=None):
    """A step that forwarded the first clips of a graph."""
    outputs = SimpleNamespace(fc1=fc1, logits=logits)
    return SimpleNamespace(outputs=outputs, rows=torch.arange(len(fc1))), SimpleNamespace(n_id=torch.arange(120))


def test_a_reversed_gradient_has_the_other_sign(across):
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    (across.Reversed.apply(values) * torch.tensor([3.0, 4.0])).sum().backward()
    torch.testing.assert_close(values.grad, -across.STRENGTH * torch.tensor([3.0, 4.0]))


def test_contrast_of_three_clips(across, joint_graph):
    """Clips 0 and 3 are anger, one of the target and one of the other corpus; clip 1 is fear."""
    term = across.Contrast(joint_graph, TrainingSettings(width=0.25))
    fc1 = torch.randn(4, term.projection.in_features, generator=torch.Generator().manual_seed(0))
    step, batch = step_of(fc1)
    step.rows = torch.tensor([0, 1, 3])
    step.outputs.fc1 = fc1[step.rows]
    unit = torch.nn.functional.normalize(term.projection(step.outputs.fc1), dim=1)
    near = (unit @ unit.T / across.TEMPERATURE).tolist()
    shares = [near[a][b] - math.log(math.exp(near[a][b]) + math.exp(near[a][1])) for a, b in ((0, 2), (2, 0))]
    assert term.loss(step, batch).item() == pytest.approx(-across.STRENGTH * sum(shares) / 2, rel=1e-5)


def test_only_labels_of_the_other_corpus_count(across, joint_graph):
    term = across.OtherLabels(joint_graph, TrainingSettings(width=0.25))
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    step, batch = step_of(torch.zeros(4, 2), logits)
    expected = torch.nn.functional.cross_entropy(logits[[1, 3]] / 2, joint_graph.other_y[[1, 3]])
    torch.testing.assert_close(term.loss(step, batch), 4 * expected)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("teacher", [True, False])
def test_a_training_with_a_further_term(across, joint_graph, term, teacher, monkeypatch):
    monkeypatch.setattr(training, "make_method", across.with_term(getattr(across, term), teacher=teacher))
    how = {"method": "distil+regress", "width": 0.125, "epochs": 2, "epoch_steps": 3, "progress": False}
    (one, two), again = (sg.train(joint_graph, **how).info["history"] for _ in range(2))
    assert math.isfinite(two["loss"]) and two["loss"] == again[1]["loss"]
    assert two["distil+regress_loss"] != one["distil+regress_loss"]
