import pytest
import torch
from scipy.stats import entropy

from bmtune.born import BornMachine
from bmtune.born import Cores
from bmtune.born import log_weights
from bmtune.config.born import BornConfig
from bmtune.objectives import brier
from bmtune.objectives import brier_rows
from bmtune.objectives import class_nll
from bmtune.objectives import divergence_rows
from bmtune.objectives import mixed_adversarial
from bmtune.objectives import trades


def weights(seed=0, num_classes=4, rows=10):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(num_classes, rows, generator=generator, dtype=torch.float64)


def test_the_divergence_is_that_of_the_class_probabilities():
    clean, attacked = weights(0), weights(1)
    expected = entropy(clean.softmax(0).numpy(), attacked.softmax(0).numpy(), axis=0)
    torch.testing.assert_close(divergence_rows(clean, attacked), torch.from_numpy(expected))
    shifted = divergence_rows(clean + 300, attacked - 700)
    torch.testing.assert_close(shifted, torch.from_numpy(expected))


def test_the_divergence_of_equal_rows_is_zero_and_flat():
    clean = weights()
    attacked = clean.clone().requires_grad_()
    values = divergence_rows(clean, attacked)
    (slope,) = torch.autograd.grad(values.sum(), attacked)
    assert values.abs().max() < 1e-15
    assert slope.abs().max() < 1e-15


def test_a_class_of_probability_zero_has_no_say():
    clean, attacked = weights(0), weights(1)
    clean[2], attacked[2] = float("-inf"), float("-inf")
    left = [0, 1, 3]
    leaf = clean.clone().requires_grad_()
    values = divergence_rows(leaf, attacked)
    torch.testing.assert_close(values, divergence_rows(clean[left], attacked[left]))
    (slope,) = torch.autograd.grad(values.sum(), leaf)
    assert slope.isfinite().all()


def test_a_certain_row_keeps_the_slope_of_its_divergence():
    # p is 1 - 1e-11: in float32 the most probable class alone has slope exactly 0.
    clean = torch.tensor([[25.0], [0.0]])
    attacked = torch.tensor([[24.0], [0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(divergence_rows(clean, attacked).sum(), attacked)
    expected = torch.exp(torch.tensor(-24.0)) - torch.exp(torch.tensor(-25.0))
    torch.testing.assert_close(slope, torch.stack((-expected, expected))[:, None], rtol=1e-4, atol=0.0)


def test_trades_has_the_gradient_of_finite_differences_through_both_sides():
    born = BornMachine.start(BornConfig(physical_dim=3, bond_dim=2, init_std=0.3, dtype="float64"), 3, 3)
    generator = torch.Generator().manual_seed(0)
    x, attacked = (2 * torch.rand(2, 5, 3, generator=generator, dtype=torch.float64) - 1).unbind(0)
    labels = torch.tensor([0, 1, 2, 0, 1])

    def loss(*tensors):
        clean, moved = (log_weights(Cores(*tensors), born.chain.features(rows)) for rows in (x, attacked))
        return trades(class_nll(clean, labels), clean, moved, 6.0)

    leaves = tuple(core.clone().requires_grad_() for core in born.cores)
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-6)


def test_trades_without_beta_is_the_clean_loss():
    clean_loss = torch.tensor(0.7, dtype=torch.float64)
    assert trades(clean_loss, weights(0), weights(1), 0.0) == clean_loss
    assert trades(clean_loss, weights(0), weights(1), 2.0) > clean_loss


@pytest.mark.parametrize(("share", "expected"), [(0.0, 3.0), (1.0, 1.0), (0.25, 2.5)])
def test_the_mixture_weighs_the_clean_loss(share, expected):
    assert mixed_adversarial(torch.tensor(1.0), torch.tensor(3.0), share) == expected


def test_brier_rows_average_to_brier():
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(brier_rows(weights(), labels).mean(), brier(weights(), labels))
