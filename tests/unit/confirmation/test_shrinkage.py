import numpy as np
import pytest
from scipy import integrate

from bmtune.confirmation.intervals import mean_interval
from bmtune.confirmation.shrinkage import EXPONENT
from bmtune.confirmation.shrinkage import chosen_mean
from bmtune.confirmation.shrinkage import noise_share

VALUES = np.random.default_rng(5).normal(size=(4, 5)) + np.array([[1.5], [1.0], [0.8], [-4.0]])


@pytest.mark.parametrize("number", [2, 3, 8])
@pytest.mark.parametrize("ratio", [0.0, 1e-7, 0.3, 4.0, 60.0])
def test_the_share_of_noise_is_the_posterior_mean_of_its_prior(number: int, ratio: float):
    def moment(power: int) -> float:
        def density(share: float) -> float:
            return share ** ((number - 1) / 2 + EXPONENT + power) * np.exp(-share * ratio / 2)

        return integrate.quad(density, 0, 1, epsabs=0, epsrel=1e-9, limit=200)[0]

    mean = moment(1) / moment(0)
    found = noise_share(number, ratio)
    assert found.mean == pytest.approx(mean, rel=1e-5)
    assert found.variance == pytest.approx(moment(2) / moment(0) - mean**2, rel=1e-3)


def test_the_chosen_one_moves_towards_those_that_it_was_chosen_from():
    best = int(VALUES[:3].mean(1).argmax())
    found = chosen_mean(VALUES, best, [0, 1, 2])
    assert VALUES[:3].mean() < found.value < VALUES[best].mean()
    assert found.low < found.value < found.high


def test_one_that_is_no_candidate_does_not_matter():
    other = VALUES.copy()
    other[3] += 100
    assert chosen_mean(VALUES, 0, [0, 1, 2]) == chosen_mean(other, 0, [0, 1, 2])


def test_units_do_not_matter():
    found, scaled = chosen_mean(VALUES, 0, [0, 1, 2]), chosen_mean(1e-4 * VALUES + 7, 0, [0, 1, 2])
    ends = (found.value, found.low, found.high)
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx([1e-4 * end + 7 for end in ends], rel=1e-12)


def test_alone_it_is_its_mean():
    assert chosen_mean(VALUES, 0, [0]) == mean_interval(VALUES[0].tolist())


def test_without_noise_nothing_is_shrunk():
    exact = np.array([[3.0], [2.0]]) + np.array([0.0, 0.5, 1.0])
    found = chosen_mean(exact, 0, [0, 1])
    assert found.value == pytest.approx(3.5)
    still = chosen_mean(np.array([[3.0, 3.0], [2.0, 2.0]]), 0, [0, 1])
    assert (still.value, still.low, still.high) == (3.0, 3.0, 3.0)
