import math

import pytest
import torch
from scipy.stats import kstest

from bmtune.attacks import ball_noise
from bmtune.attacks import make_ball
from bmtune.attacks import perturbation_radius

FALSE_ALARM = 1e-6
"""Chance that a right sampler fails one of these tests; the seeds are fixed, so that it fails always or never."""


def noise(norm, num_features, rows=4000, seed=0):
    shape = (1, rows, num_features)
    return ball_noise(norm, shape, torch.Generator().manual_seed(seed), torch.float64)[0]


def lengths(norm, offsets):
    return offsets.norm(dim=-1) if norm == "l2" else offsets.abs().amax(-1)


@pytest.mark.parametrize("num_features", [1, 2, 5, 64])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_starts_fill_the_ball_evenly(norm, num_features):
    # The volume within a radius is its N-th power, in every norm.
    volume = lengths(norm, noise(norm, num_features)) ** num_features
    assert volume.max() <= 1 + 1e-12
    assert kstest(volume.numpy(), "uniform").pvalue > FALSE_ALARM


def test_starts_point_in_all_directions_alike():
    x, y = noise("l2", 2).unbind(1)
    turns = torch.atan2(y, x) / (2 * math.pi) + 0.5
    assert kstest(turns.numpy(), "uniform").pvalue > FALSE_ALARM


def test_starts_in_a_box_have_independent_uniform_coordinates():
    offsets = noise("linf", 3)
    for column in offsets.unbind(1):
        assert kstest((column.numpy() + 1) / 2, "uniform").pvalue > FALSE_ALARM
    # The correlation of 4000 independent pairs has standard deviation 4000^-1/2: 5 of them, false alarm 2e-6.
    off_diagonal = torch.corrcoef(offsets.T)[torch.triu_indices(3, 3, 1).unbind(0)]
    assert off_diagonal.abs().max() < 5 / 4000**0.5


def test_starts_depend_on_the_generator_alone():
    torch.manual_seed(1)
    first = noise("l2", 3, rows=5)
    torch.manual_seed(2)
    assert torch.equal(first, noise("l2", 3, rows=5))
    assert not torch.equal(first, noise("l2", 3, rows=5, seed=1))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_projected_row_is_in_ball_and_interval_and_stays_there(norm):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 4, generator=generator, dtype=torch.float64) * 2 - 1
    ball = make_ball(norm, x, 0.3, (-1.0, 1.0))
    moved = ball.project(x + torch.randn(50, 4, generator=generator, dtype=torch.float64))
    assert lengths(norm, moved - x).max() <= 0.3 + 1e-12
    assert moved.abs().max() <= 1
    torch.testing.assert_close(ball.project(moved), moved, rtol=0, atol=1e-15)
    inside = x + 0.001 * (moved - x)
    assert torch.equal(ball.project(inside), inside)


def test_each_row_is_projected_on_its_own():
    x = torch.zeros(2, 2)
    moved = make_ball("l2", x, 1.0, (-9.0, 9.0)).project(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.8], [0.3, 0.4]]))


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("radius", [0.0, torch.tensor(0.0)])
def test_a_ball_of_radius_zero_holds_the_row_alone(norm, radius):
    # The last row lies outside the interval.
    x = torch.tensor([[0.1, 0.2], [1.0, -1.0], [1.5, 0.0]])
    ball = make_ball(norm, x, radius, (-1.0, 1.0))
    for moved in (x, x + 0.1, x - 1e-30):
        assert torch.equal(ball.project(moved), x)


def test_an_ascent_has_unit_length_however_small_the_slope():
    slope = torch.tensor([[3.0, -4.0], [3e-30, -4e-30], [3e30, -4e30], [0.0, 0.0]])
    unit = torch.tensor([0.6, -0.8])
    expected = torch.stack((unit, unit, unit, torch.zeros(2)))
    torch.testing.assert_close(make_ball("l2", slope, 1.0, (0.0, 1.0)).ascent(slope), expected)
    expected = torch.tensor([[1.0, -1.0]] * 3 + [[0.0, 0.0]])
    assert torch.equal(make_ball("linf", slope, 1.0, (0.0, 1.0)).ascent(slope), expected)


def test_the_radius_is_a_fraction_of_the_interval():
    assert perturbation_radius(0.1, (-4.0, 4.0)) == pytest.approx(0.8)
