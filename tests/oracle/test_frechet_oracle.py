import numpy as np
import pytest
import scipy.linalg
import torch

from bmtune.evaluation import frechet_distance
from bmtune.evaluation import frechet_from_moments


def textbook(real, drawn):
    """The distance as it is written, with scipy's general matrix square root."""
    a, b = np.cov(real, rowvar=False), np.cov(drawn, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(a @ b))
    return np.square(real.mean(0) - drawn.mean(0)).sum() + np.trace(a + b - 2 * root)


@pytest.mark.parametrize("num_features", [2, 5, 20])
@pytest.mark.parametrize("num_rows", [50, 300])
def test_distance_equals_the_textbook_formula(num_features, num_rows):
    rng = np.random.default_rng(num_features)
    real = rng.normal(size=(num_rows, num_features)) @ rng.normal(size=(num_features, num_features))
    drawn = rng.uniform(size=(num_rows + 7, num_features)) @ rng.normal(size=(num_features, num_features)) + 0.3
    found = frechet_distance(torch.from_numpy(real), torch.from_numpy(drawn)).item()
    assert found == pytest.approx(textbook(real, drawn), rel=1e-9)


def test_commuting_covariances_have_a_closed_form():
    rng = np.random.default_rng(0)
    turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(6, 6)))[0])
    first, second = (torch.from_numpy(rng.uniform(0, 2, size=6)) for _ in range(2))
    first[0] = second[3] = 0.0
    zero, shift = torch.zeros(6, dtype=torch.float64), torch.from_numpy(rng.normal(size=6))
    found = frechet_from_moments(zero, turn * first @ turn.T, shift, turn * second @ turn.T)
    expected = shift.square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-7)


def test_one_feature_is_the_distance_of_means_and_deviations():
    real = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    drawn = torch.tensor([[3.0], [7.0], [5.0]], dtype=torch.float64)
    assert frechet_distance(real, drawn).item() == pytest.approx(16 + (2**0.5 - 2) ** 2)
