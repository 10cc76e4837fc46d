import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.special import rel_entr, softmax

from ser_graph.downstream.losses import distillation_loss, regression_loss, similarity_loss


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_similarities_against_scipy(n):
    p, h = random(n, 5), random(n, 7, seed=1)
    squared = (pdist(p.double(), "cosine") - pdist(h.double(), "cosine")) ** 2
    assert float(similarity_loss(p, h)) == pytest.approx(squared.mean(), rel=1e-4)
    assert float(similarity_loss(p, h, reduction="sum")) == pytest.approx(squared.sum(), rel=1e-4)


def test_similarity_needs_a_pair_and_ignores_lengths():
    p, h = random(6, 4), random(6, 9, seed=1)
    assert float(similarity_loss(p[:1], h[:1])) == 0
    lengths = torch.arange(1.0, 7.0)[:, None]
    assert float(similarity_loss(h * lengths, h)) < 1e-12
    torch.testing.assert_close(similarity_loss(p * lengths, h / lengths), similarity_loss(p, h))


@pytest.mark.parametrize("same", [True, False])
def test_similarity_pulls_what_is_near_and_pushes_what_is_far(same):
    h = torch.tensor([[1.0, 0.0], [1.0, 0.0]] if same else [[1.0, 0.0], [-1.0, 0.0]])
    p = torch.tensor([[1.0, 0.2], [0.3, 1.0]], requires_grad=True)
    similarity_loss(p, h).backward()
    moved = (p - 0.1 * p.grad).detach()
    before, after = (float(torch.cosine_similarity(q[0], q[1], dim=0)) for q in (p.detach(), moved))
    assert (after > before) is same


def test_regression_against_numpy():
    predicted, target = random(5, 8), random(5, 8, seed=1)
    squared = (predicted.double().numpy() - target.double().numpy()) ** 2
    assert float(regression_loss(predicted, target)) == pytest.approx(squared.mean(), rel=1e-5)
    assert float(regression_loss(predicted, target, reduction="sum")) == pytest.approx(
        squared.mean(1).sum(), rel=1e-5
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_against_scipy(temperature):
    z, teacher = random(6, 4), random(6, 4, seed=1)
    target, student = (softmax(one.double().numpy() / temperature, axis=1) for one in (teacher, z))
    expected = temperature**2 * rel_entr(target, student).sum(1)
    found = distillation_loss(z, teacher.log_softmax(1), temperature)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-4)
    assert float(distillation_loss(z, teacher, temperature, reduction="sum")) == pytest.approx(
        expected.sum(), rel=1e-4
    )


def test_distillation_of_a_sure_teacher_is_cross_entropy():
    """With T = 1 and a teacher who gives all to one class, -inf to the others."""
    z, y = random(6, 4).requires_grad_(), torch.tensor([0, 1, 2, 3, 0, 1])
    sure = torch.full((6, 4), -torch.inf).scatter_(1, y[:, None], 0.0)
    loss = distillation_loss(z, sure, 1.0)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(z, y))
    (gradient,) = torch.autograd.grad(loss, z)
    expected = (z.detach().softmax(1) - sure.exp()) / 6
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
