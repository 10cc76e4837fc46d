import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from ser_graph.downstream.losses import distillation_loss, distribution_loss, regression_loss


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_regression_against_numpy():
    predicted, target = random(5, 8), random(5, 8, seed=1)
    p, h = predicted.double().numpy(), target.double().numpy()
    apart = 1 - (p * h).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(h, axis=1)
    assert float(regression_loss(predicted, target)) == pytest.approx(apart.mean(), rel=1e-5)
    assert float(regression_loss(predicted, target, reduction="sum")) == pytest.approx(apart.sum(), rel=1e-5)


def test_regression_goes_by_direction_alone():
    h = random(5, 8)
    lengths = torch.arange(1.0, 6.0)[:, None]
    assert float(regression_loss(h * lengths, h)) == pytest.approx(0, abs=1e-6)
    assert float(regression_loss(-h, h * lengths)) == pytest.approx(2, rel=1e-6)


def by_hand(s, t, ignored, t_student, t_teacher):
    """KL of each row that is compared with at least two others, in float64 and without a mask."""
    found = []
    for row in range(len(s)):
        chosen = ~ignored[row].numpy()
        if chosen.sum() > 1:
            q = softmax(t[row].double().numpy()[chosen] / t_teacher)
            p = softmax(s[row].double().numpy()[chosen] / t_student)
            found.append(rel_entr(q, p).sum())
    return np.array(found)


TEMPERATURES = [(0.1, 0.05), (1.0, 1.0), (0.3, 2.0)]


@pytest.mark.parametrize(("t_student", "t_teacher"), TEMPERATURES)
def test_distributions_against_scipy(t_student, t_teacher):
    s, t = random(7, 9).tanh(), random(7, 9, seed=1).tanh()
    ignored = random(7, 9, seed=2) > 0.5
    ignored[2] = True  # compared with nobody
    ignored[3], ignored[3, 4] = True, False  # with one alone: there is nothing to tell
    ignored[4] = False
    expected = by_hand(s, t, ignored, t_student, t_teacher)
    assert len(expected) == 5
    found = distribution_loss(s, t, ignored, t_student, t_teacher)
    assert (found.shape, found.dtype) == ((), torch.float32)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-4)
    total = distribution_loss(s, t, ignored, t_student, t_teacher, reduction="sum")
    assert float(total) == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize(("t_student", "t_teacher"), TEMPERATURES)
def test_the_gradient_of_distributions_is_that_of_cross_entropy(t_student, t_teacher):
    """(p - q) / T_s for each clip, and nothing for pairs that are left out."""
    s, t = random(4, 6).tanh().requires_grad_(), random(4, 6, seed=1).tanh()
    ignored = torch.eye(4, 6, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(distribution_loss(s, t, ignored, t_student, t_teacher), s)
    p, q = (
        (one.detach() / temperature).masked_fill(ignored, -torch.inf).softmax(1)
        for one, temperature in ((s, t_student), (t, t_teacher))
    )
    np.testing.assert_allclose(gradient, (p - q) / t_student / 4, atol=1e-5)
    assert not gradient[ignored].any()


def test_nothing_to_compare_is_exactly_nothing():
    s = random(3, 4).requires_grad_()
    ignored = torch.ones(3, 4, dtype=torch.bool)
    ignored[:, 0] = False
    loss = distribution_loss(s, s.detach(), ignored, 0.1, 0.05)
    assert loss.item() == 0
    loss.backward()
    assert not s.grad.any()
    assert distribution_loss(s[:, :0], s[:, :0], ignored[:, :0], 0.1, 0.05).item() == 0


def test_similarities_far_apart_stay_finite():
    """A teacher of low temperature is sure: exp(-40) is below what float32 can add to 1."""
    s = torch.tensor([[1.0, -1.0, -1.0]], requires_grad=True)
    loss = distribution_loss(s, -s.detach(), torch.zeros(1, 3, dtype=torch.bool), 0.01, 0.01)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200 - np.log(2), rel=1e-4)
    assert s.grad.isfinite().all()


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


def test_clips_of_which_the_teacher_says_nothing_are_left_out():
    z, teacher = random(6, 4), random(6, 4, seed=1)
    known = torch.tensor([True, False, True, True, False, True])
    some = teacher.clone()
    some[1], some[4, 2] = torch.nan, torch.nan
    for reduction in ("mean", "sum"):
        found = distillation_loss(z, some, 2.0, reduction=reduction)
        torch.testing.assert_close(found, distillation_loss(z[known], teacher[known], 2.0, reduction=reduction))
    z.requires_grad_()
    nothing = distillation_loss(z, torch.full_like(teacher, torch.nan), 2.0)
    assert nothing.item() == 0
    nothing.backward()
    assert not z.grad.any()


def test_distillation_of_a_sure_teacher_is_cross_entropy():
    """With T = 1 and a teacher who gives all to one class, -inf to the others."""
    z, y = random(6, 4).requires_grad_(), torch.tensor([0, 1, 2, 3, 0, 1])
    sure = torch.full((6, 4), -torch.inf).scatter_(1, y[:, None], 0.0)
    loss = distillation_loss(z, sure, 1.0)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(z, y))
    (gradient,) = torch.autograd.grad(loss, z)
    expected = (z.detach().softmax(1) - sure.exp()) / 6
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
