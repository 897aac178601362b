import math

import pytest
import torch

from bmtune.objectives import critic_bce
from bmtune.objectives import critic_wasserstein
from bmtune.objectives import generator_bce
from bmtune.objectives import generator_wasserstein
from bmtune.objectives import gradient_penalty


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_an_undecided_critic_costs_log_2_on_each_side():
    zeros = torch.zeros(5, 3)
    assert critic_bce(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert generator_bce(zeros).item() == pytest.approx(math.log(2))


def test_bce_equals_cross_entropy_of_probabilities():
    real, generated = normal(5, 3), normal(7, 3, seed=1)
    expected = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(generated)).log().mean()
    assert critic_bce(real, generated).item() == pytest.approx(expected.item(), rel=1e-12)
    assert generator_bce(generated).item() == pytest.approx(-torch.sigmoid(generated).log().mean().item(), rel=1e-12)


def test_bce_at_known_logits():
    logit = torch.tensor([[math.log(3.0)]])
    assert critic_bce(logit, -logit).item() == pytest.approx(2 * math.log(4 / 3), rel=1e-6)
    assert critic_bce(-logit, logit).item() == pytest.approx(2 * math.log(4), rel=1e-6)
    assert generator_bce(logit).item() == pytest.approx(math.log(4 / 3), rel=1e-6)


def test_extreme_logits_stay_finite():
    far = torch.full((2, 2), 1e4)
    assert critic_bce(far, -far).item() == 0
    assert critic_bce(-far, far).item() == pytest.approx(2e4)
    assert generator_bce(-far).item() == pytest.approx(1e4)


def test_the_generator_that_is_found_out_has_a_gradient():
    logits = torch.full((2, 2), -30.0, requires_grad=True)
    (slope,) = torch.autograd.grad(generator_bce(logits), logits)
    torch.testing.assert_close(slope, torch.full((2, 2), -0.25))


def test_wasserstein_losses_are_differences_of_means():
    real, generated = normal(5, 3), normal(7, 3, seed=1)
    assert critic_wasserstein(real, generated).item() == pytest.approx((generated.mean() - real.mean()).item())
    assert generator_wasserstein(generated).item() == pytest.approx(-generated.mean().item())


@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (2.0, 1.0), (0.5, 0.25), (4.0, 9.0)])
@pytest.mark.parametrize(("num_rows", "num_classes", "num_features"), [(1, 1, 1), (8, 1, 2), (3, 5, 7), (64, 10, 4)])
def test_a_linear_critic_pays_for_the_norm_of_its_slope(norm, expected, num_rows, num_classes, num_features):
    slope = normal(num_features)
    slope *= norm / slope.norm()
    shape = (num_rows, num_classes, num_features)
    found = gradient_penalty(
        lambda rows: rows @ slope,
        normal(*shape),
        normal(*shape, seed=1),
        torch.rand(*shape[:2], 1, dtype=torch.float64),
    )
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_the_penalty_is_taken_between_the_two_rows():
    # The slope of |x|^2 / 2 is x itself: the penalty shows the point.
    real, generated = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[6.0, 8.0]]])
    for share in (0.0, 0.25, 1.0):
        found = gradient_penalty(lambda rows: rows.square().sum(-1) / 2, real, generated, torch.full((1, 1, 1), share))
        assert found.item() == pytest.approx((10 - 5 * share - 1) ** 2)


def test_a_flat_critic_has_a_finite_second_gradient():
    weight = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    found = gradient_penalty(lambda rows: rows @ weight, normal(4, 2, 3), normal(4, 2, 3, seed=1), torch.zeros(4, 2, 1))
    (slope,) = torch.autograd.grad(found, weight)
    assert found.item() == 1
    assert slope.isfinite().all()


def test_gradient_of_the_penalty_equals_finite_differences():
    real, generated, mixing = normal(4, 2, 3), normal(4, 2, 3, seed=1), torch.full((4, 2, 1), 0.3, dtype=torch.float64)

    def penalty(weight):
        return gradient_penalty(lambda rows: torch.tanh(rows @ weight).sum(-1), real, generated, mixing)

    assert torch.autograd.gradcheck(penalty, normal(3, 5, seed=2).requires_grad_())
