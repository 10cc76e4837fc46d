"""The neighbour loss against TensorFlow's Neural Structured Learning, recorded by benchmarks/tensorflow_nsl.py."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from ser_graph.audio.settings import LogMelSettings
from ser_graph.downstream import neighbour_loss
from ser_graph.graph import NeighborLoader, build_graph

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "tensorflow_nsl.json").read_text("utf-8"))
REGULARISED = RECORDED["regularised"]
PAIRWISE = [
    pytest.param(
        case, output, id=f"n={case['n']}, {output['distance']}, {output['reduction']}, {output['weights']}"
    )
    for case in RECORDED["pairwise"]
    for output in case["outputs"]
]
# TensorFlow adds 1e-7 to the probabilities that it takes logarithms of.
TOLERANCE = {"cosine": 1e-6, "l2": 2e-6, "kl": 2e-6}


def tensor(values):
    return torch.tensor(values, dtype=torch.float32)


def lists_of(n, n_seeds):
    """Edges from n neighbours each, which stand behind the seeds, as TensorFlow unpacks them."""
    return torch.stack([n_seeds + torch.arange(n * n_seeds), torch.arange(n_seeds).repeat_interleave(n)])


def test_what_was_recorded():
    made_by = RECORDED["made_by"]
    assert made_by["neural-structured-learning"] == "1.4.0"
    assert made_by["tensorflow"].startswith("2.15.")
    assert (Path(__file__).parents[2] / made_by["script"]).is_file()
    assert len(PAIRWISE) == 3 * 3 * 4


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "without padding"])
@pytest.mark.parametrize(("case", "output"), PAIRWISE)
def test_values_and_gradients(case, output, padded):
    """Edges of weight 0, which are what TensorFlow pads with, may be there or not."""
    sources, targets = tensor(case["sources"]), tensor(case["targets"])
    outputs = torch.cat([sources, targets]).requires_grad_()
    edges, weight = lists_of(case["n"], len(sources)), tensor(case["weights"][output["weights"]])
    if not padded:
        edges, weight = edges[:, weight != 0], weight[weight != 0]
    loss = neighbour_loss(outputs, edges, weight, distance=output["distance"], reduction=output["reduction"])
    loss.backward()
    recorded = tensor(output["source_gradient"] + output["target_gradient"])
    atol = TOLERANCE[output["distance"]]
    torch.testing.assert_close(loss, tensor(output["loss"]), rtol=2e-6, atol=atol)
    torch.testing.assert_close(outputs.grad, recorded, rtol=2e-5, atol=atol)
    assert recorded.any() == (output["weights"] != "all zero")


@pytest.mark.parametrize("case", RECORDED["pairwise"], ids=lambda case: f"n={case['n']}")
def test_the_recorded_values_by_hand(case):
    """Not only the same as ours: what the formula says, in plain numpy."""
    seeds, neighbours = np.repeat(case["sources"], case["n"], axis=0), np.array(case["targets"])
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (seeds, neighbours))
    lengths = np.linalg.norm(seeds, axis=1) * np.linalg.norm(neighbours, axis=1)
    distances = {
        "cosine": 1 - (seeds * neighbours).sum(1) / lengths,
        "l2": ((seeds - neighbours) ** 2).sum(1),
        "kl": (p * np.log(p / q)).sum(1),
    }
    for output in case["outputs"]:
        weight = np.array(case["weights"][output["weights"]])
        expected = (weight * distances[output["distance"]]).sum()
        if output["reduction"] == "mean":
            expected /= max(np.count_nonzero(weight), 1)
        assert output["loss"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_default_l2_of_tensorflow_is_a_mean_over_features():
    """Without sum_over_axis it divides by the features too; ours is the one with sum_over_axis=-1."""
    case = RECORDED["artefacts"]["l2_per_feature"]
    outputs = tensor(case["sources"] + case["targets"])
    loss = neighbour_loss(outputs, lists_of(1, 2), distance="l2")
    assert case["loss"] == pytest.approx(float(loss) / outputs.shape[1])


def test_outputs_of_zeros():
    """They have no direction: a distance of 1 in both, and a huge gradient, the inverse of a small constant."""
    case = RECORDED["artefacts"]["cosine_of_zeros"]
    outputs = tensor(case["sources"] + case["targets"]).requires_grad_()
    loss = neighbour_loss(outputs, lists_of(1, 1))
    loss.backward()
    assert loss.item() == case["loss"] == 1
    assert outputs.grad[1].tolist() == case["target_gradient"][0] == [0, 0, 0]
    direction = -outputs.detach()[1] / outputs.detach()[1].norm()
    torch.testing.assert_close(tensor(case["source_gradient"][0]), 1e6 * direction)
    torch.testing.assert_close(outputs.grad[0], 1e8 * direction)


def test_certainty_costs_more_than_in_tensorflow():
    """KL of (1, 0, 0) against (0, 1, 0): about 40 from logits; TensorFlow stops at the logarithm of its 1e-7."""
    case = RECORDED["artefacts"]["kl_of_certainty"]
    outputs = tensor(case["sources"] + case["targets"]).requires_grad_()
    loss = neighbour_loss(outputs, lists_of(1, 1), distance="kl")
    loss.backward()
    assert case["loss"] == pytest.approx(-np.log(1e-7), rel=1e-4)
    assert loss.item() == pytest.approx(40)
    assert np.abs(case["target_gradient"]).max() < 1e-9  # and there its gradient is lost,
    assert outputs.grad[1].tolist() == pytest.approx([-1, 1, 0], abs=1e-6)  # which is q - p


@pytest.mark.parametrize(
    "case",
    RECORDED["stop_gradient"],
    ids=lambda case: f"{case['distance']}, {'symmetric' if case['symmetric'] else 'directed'}",
)
def test_stop_gradient_identity(case):
    """Twice the gradient with the neighbour's side stopped: on symmetric lists, in both libraries."""
    outputs = tensor(case["outputs"]).requires_grad_()
    edges, weight = torch.tensor(case["edge_index"]), tensor(case["edge_weight"])
    loss = neighbour_loss(outputs, edges, weight, distance=case["distance"])
    (full,) = torch.autograd.grad(loss, outputs)
    sides = torch.cat([outputs, outputs.detach()])
    one_sided = neighbour_loss(
        sides, edges + torch.tensor([[len(outputs)], [0]]), weight, distance=case["distance"]
    )
    (stopped,) = torch.autograd.grad(one_sided, outputs)
    torch.testing.assert_close(full, tensor(case["gradient"]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stopped, tensor(case["stopped_gradient"]), rtol=1e-5, atol=1e-6)
    for whole, half in ((full, stopped), (tensor(case["gradient"]), tensor(case["stopped_gradient"]))):
        assert torch.allclose(whole, 2 * half, rtol=1e-5, atol=1e-6) == case["symmetric"]


@pytest.fixture(scope="module")
def graph():
    """The recorded clips as a graph: built, capped and sampled here."""
    n = len(REGULARISED["emb"])
    columns = {"speaker": "s", "gender": "female", "duration": 1.0, "split": "train"}
    emotion = np.array(["anger", "fear", "joy"])[REGULARISED["y"]]
    table = pd.DataFrame(
        {"emotion": emotion, **columns}, index=pd.Index([f"{clip:02d}.wav" for clip in range(n)], name="file")
    )
    return build_graph(
        table,
        emb=tensor(REGULARISED["emb"]),
        x=tensor(REGULARISED["x"])[:, None],
        features=LogMelSettings(n_samples=512, n_mels=4),
        epsilon=REGULARISED["threshold"],
        n_neighbors=11,
    )


def batch_of(graph, n):
    (batch,) = NeighborLoader(graph, [n], batch_size=graph.num_nodes)
    return batch


@pytest.mark.parametrize(
    "case", REGULARISED["outputs"], ids=lambda case: f"n={case['n']}, {case['distance']}, {case['layer']}"
)
def test_a_step_of_graph_regularization(graph, case):
    """From embeddings to gradients: build, cap, sample, forward once, cross entropy + alpha x neighbour loss."""
    weights = {name: tensor(kernel).requires_grad_() for name, (kernel, _) in REGULARISED["kernels"].items()}
    biases = {name: tensor(bias) for name, (_, bias) in REGULARISED["kernels"].items()}
    batch = batch_of(graph, case["n"])
    fc1 = batch.x[:, 0] @ weights["fc1"] + biases["fc1"]
    fc2 = fc1.relu() @ weights["fc2"] + biases["fc2"]
    supervised = functional.cross_entropy(fc2, batch.y)
    compared = {"fc1": fc1, "fc2": fc2}[case["layer"]]
    scaled = REGULARISED["alpha"] * neighbour_loss(
        compared, batch.edge_index, batch.edge_weight, distance=case["distance"]
    )
    (supervised + scaled).backward()
    torch.testing.assert_close(supervised, tensor(case["supervised"]))
    # The graph went through a file of six decimals on its way.
    torch.testing.assert_close(scaled, tensor(case["scaled_graph_loss"]), rtol=1e-5, atol=1e-6)
    for name, weight in weights.items():
        torch.testing.assert_close(weight.grad, tensor(case["gradients"][name]), rtol=2e-5, atol=2e-6)
    # Without the neighbour loss the gradients would be others.
    (alone,) = torch.autograd.grad(
        functional.cross_entropy(batch.x[:, 0] @ weights["fc1"], batch.y), weights["fc1"]
    )
    assert not torch.allclose(alone, weights["fc1"].grad, rtol=1e-3)


def test_padding_enters_the_batch_norm_of_tensorflow(graph):
    """Zeros that stand for missing neighbours shift its statistics; ours forwards real clips only."""
    recorded = REGULARISED["with_batch_norm"]
    n, n_clips = recorded["n"], graph.num_nodes
    batch = batch_of(graph, n)
    x = batch.x[:, 0]
    neighbours = torch.zeros(n_clips, n, x.shape[1])
    weight = torch.zeros(n_clips, n)
    taken = [0] * n_clips
    for (neighbour, seed), value in zip(batch.edge_index.T.tolist(), batch.edge_weight.tolist(), strict=True):
        neighbours[seed, taken[seed]], weight[seed, taken[seed]] = x[neighbour], value
        taken[seed] += 1
    flat, real = neighbours.flatten(0, 1), weight.flatten() != 0
    assert int((~real).sum()) == recorded["padding"]

    def head(given):
        (w1, b1), (w2, b2) = (map(tensor, REGULARISED["kernels"][name]) for name in ("fc1", "fc2"))
        normal = functional.batch_norm(given, None, None, training=True, eps=1e-3)
        return (normal @ w1 + b1).relu() @ w2 + b2

    edges = lists_of(n, n_clips)
    as_tensorflow = neighbour_loss(torch.cat([head(x), head(flat)]), edges, weight.flatten())
    assert float(as_tensorflow) == pytest.approx(recorded["graph_loss"], rel=1e-5)
    outputs = torch.empty(n_clips * (n + 1), 3)
    outputs[:n_clips], outputs[n_clips:][real] = head(x), head(flat[real])
    without_padding = neighbour_loss(outputs, edges[:, real], weight.flatten()[real])
    ours = neighbour_loss(head(x), batch.edge_index, batch.edge_weight)
    for other in (without_padding, ours):
        assert abs(float(other) - recorded["graph_loss"]) > 1e-3
