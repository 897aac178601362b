import math

import numpy as np
import pytest
import torch

from bmtune.objectives import brier
from bmtune.objectives import class_nll


def draw(num_classes=4, num_rows=30, scale=3.0):
    generator = torch.Generator().manual_seed(0)
    weights = scale * torch.randn(num_classes, num_rows, dtype=torch.float64, generator=generator)
    return weights, torch.randint(num_classes, (num_rows,), generator=generator)


def probabilities(weights):
    shares = np.exp(weights.numpy())
    return shares / shares.sum(0)


def test_class_nll_is_the_mean_of_minus_log_p_at_the_label():
    weights, labels = draw()
    at_label = probabilities(weights)[labels.numpy(), np.arange(30)]
    assert class_nll(weights, labels).item() == pytest.approx(-np.log(at_label).mean(), rel=1e-12)


def test_brier_is_the_mean_squared_distance_to_the_label():
    weights, labels = draw()
    target = np.eye(4)[labels.numpy()].T
    expected = ((probabilities(weights) - target) ** 2).sum(0).mean()
    assert brier(weights, labels).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("weights", "expected"), [([100.0, -100.0], 0), ([-100.0, 100.0], 2), ([0.0, 0.0], 0.5)])
def test_brier_runs_from_0_to_2(weights, expected):
    assert brier(torch.tensor(weights)[:, None], torch.tensor([0])).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_equal_weights_cost_log_c(num_classes):
    weights, labels = torch.full((num_classes, 5), -273.15), torch.arange(5) % num_classes
    assert class_nll(weights, labels).item() == pytest.approx(math.log(num_classes), rel=1e-6)
    assert brier(weights, labels).item() == pytest.approx(1 - 1 / num_classes, rel=1e-6)


@pytest.mark.parametrize("loss", [class_nll, brier])
def test_a_common_factor_of_all_weights_does_not_count(loss):
    weights, labels = draw()
    assert loss(weights + 500, labels).item() == pytest.approx(loss(weights, labels).item(), rel=1e-9)


@pytest.mark.parametrize("loss", [class_nll, brier])
def test_weights_far_apart_stay_finite_with_their_gradient(loss):
    weights = torch.tensor([[-2000.0, 3000.0], [0.0, -3000.0]], requires_grad=True)
    value = loss(weights, torch.tensor([0, 0]))
    (slope,) = torch.autograd.grad(value, weights)
    assert value.isfinite()
    assert slope.isfinite().all()


@pytest.mark.parametrize("loss", [class_nll, brier])
def test_a_class_of_weight_zero_is_a_class_of_probability_zero(loss):
    weights = torch.tensor([[0.3], [-math.inf], [0.1]], dtype=torch.float64, requires_grad=True)
    value = loss(weights, torch.tensor([0]))
    (slope,) = torch.autograd.grad(value, weights)
    assert value.item() == pytest.approx(loss(weights[[0, 2]].detach(), torch.tensor([0])).item(), rel=1e-12)
    assert slope[1] == 0
    assert slope.isfinite().all()


@pytest.mark.parametrize("loss", [class_nll, brier])
def test_gradient_equals_finite_differences(loss):
    weights, labels = draw()
    assert torch.autograd.gradcheck(loss, (weights.requires_grad_(), labels))
