import math

import pytest
import torch
from torch.autograd import gradcheck

from ser_graph.downstream import neighbour_loss
from ser_graph.downstream.losses import DISTANCES
from ser_graph.errors import InputError

P = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, -2.0]])
EDGES = torch.tensor([[1, 2], [0, 0]])  # 1 and 2 are neighbours of seed 0


def softmax(a, b):
    return math.exp(a) / (math.exp(a) + math.exp(b))


def kl(p, q):
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


BY_HAND = {
    "cosine": (1 - 0.5**0.5, 1.0),
    "l2": (1.0, 5.0),
    "kl": (kl(softmax(1, 0), 0.5), kl(softmax(1, 0), softmax(0, -2))),
}


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_three_clips_by_hand(distance):
    first, second = BY_HAND[distance]
    loss = neighbour_loss(P, EDGES, distance=distance)
    assert float(loss) == pytest.approx((first + second) / 2)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    assert float(neighbour_loss(P, EDGES, distance=distance, reduction="sum")) == pytest.approx(first + second)
    weight = torch.tensor([0.5, 0.25])
    weighted = 0.5 * first + 0.25 * second
    assert float(neighbour_loss(P, EDGES, weight, distance=distance)) == pytest.approx(weighted / 2)
    assert float(neighbour_loss(P, EDGES, weight, distance=distance, reduction="sum")) == pytest.approx(weighted)


def test_kl_is_of_the_seed_against_its_neighbour():
    assert float(neighbour_loss(P, EDGES[:, 1:], distance="kl")) == pytest.approx(BY_HAND["kl"][1], rel=1e-5)
    other = float(neighbour_loss(P, EDGES[:, 1:].flip(0), distance="kl"))
    assert other == pytest.approx(kl(softmax(0, -2), softmax(1, 0)), rel=1e-5)
    assert other != pytest.approx(BY_HAND["kl"][1])


def test_the_mean_is_over_edges_of_weight():
    first, second = BY_HAND["cosine"]
    assert float(neighbour_loss(P, EDGES, torch.tensor([0.0, 0.8]))) == pytest.approx(0.8 * second)
    assert float(neighbour_loss(P, EDGES, torch.tensor([0.8, 0.0]))) == pytest.approx(0.8 * first)
    assert float(neighbour_loss(P, EDGES, torch.zeros(2))) == 0


@pytest.mark.parametrize("distance", sorted(DISTANCES))
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_edge_is_exactly_nothing(distance, reduction):
    outputs = P.clone().requires_grad_()
    loss = neighbour_loss(outputs, EDGES[:, :0], torch.empty(0), distance=distance, reduction=reduction)
    assert loss.item() == 0.0
    loss.backward()
    assert not outputs.grad.any()


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_gradients(distance, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.tensor([[1, 2, 0, 3], [0, 0, 1, 2]])
    weight = torch.tensor([0.9, 0.5, 0.9, 0.0])
    outputs = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # central differences need float64
    assert gradcheck(lambda p: neighbour_loss(p, edge_index, weight, distance=distance), outputs)


@pytest.mark.parametrize("distance", sorted(DISTANCES))
def test_gradients_reach_both_sides(distance):
    outputs = P.clone().requires_grad_()
    neighbour_loss(outputs, EDGES[:, :1], distance=distance).backward()
    assert outputs.grad[0].any()
    assert outputs.grad[1].any()
    assert not outputs.grad[2].any()


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_stop_gradient_identity(distance, reduction):
    """On a symmetric edge list the gradient is twice that with the neighbour's side detached."""
    generator = torch.Generator().manual_seed(1)
    one_way = torch.tensor([[0, 0, 1, 2, 3], [1, 2, 3, 4, 4]])
    edge_index = torch.cat([one_way, one_way.flip(0)], dim=1)
    weight = torch.rand(5, generator=generator).repeat(2)
    outputs = torch.randn(5, 6, generator=generator, requires_grad=True)

    def gradient(both_sides, neighbours):
        loss = neighbour_loss(both_sides, neighbours, weight, distance=distance, reduction=reduction)
        return torch.autograd.grad(loss, outputs)[0]

    full = gradient(outputs, edge_index)
    sides = torch.cat([outputs, outputs.detach()])
    detached = gradient(sides, edge_index + torch.tensor([[5], [0]]))
    torch.testing.assert_close(full, 2 * detached)
    # It holds for mutual edges only: on the directed half it does not.
    weight = weight[:5]
    directed = gradient(outputs, one_way)
    half = gradient(sides, one_way + torch.tensor([[5], [0]]))
    assert not torch.allclose(directed, 2 * half, atol=1e-3)


def test_cosine_does_not_see_length():
    scaled = P * torch.tensor([[3.0], [0.1], [40.0]])
    assert float(neighbour_loss(scaled, EDGES)) == pytest.approx(float(neighbour_loss(P, EDGES)), rel=1e-5)
    assert neighbour_loss(scaled, EDGES, distance="l2") != neighbour_loss(P, EDGES, distance="l2")


def test_alpha_of_the_code_and_of_the_paper():
    """alpha_official = alpha_paper x mean neighbours a seed: equal losses but for the factor of the batch."""
    outputs = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    seeds = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3])
    edge_index = torch.stack([torch.arange(8) + 2, seeds])
    n_seeds, mean_neighbours, alpha_paper = 4, 8 / 4, 0.1
    official = alpha_paper * mean_neighbours * neighbour_loss(outputs, edge_index)
    paper = alpha_paper * neighbour_loss(outputs, edge_index, reduction="sum") / n_seeds
    torch.testing.assert_close(official, paper)


def test_half_precision_is_computed_in_float32():
    outputs = torch.tensor([[100.0, 1.0], [100.0, 2.0]], dtype=torch.bfloat16)
    loss = neighbour_loss(outputs, torch.tensor([[1], [0]]))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(1 - 10002 / math.sqrt(10001 * 10004), rel=0.02)


def test_bad_names():
    with pytest.raises(InputError, match=r"Bad distance 'l1', expected one of \['cosine', 'kl', 'l2'\]"):
        neighbour_loss(P, EDGES, distance="l1")
    with pytest.raises(InputError, match=r"Bad reduction 'max', expected one of \['mean', 'sum'\]"):
        neighbour_loss(P, EDGES, reduction="max")
