import numpy as np
import pytest
from scipy import stats

from bmtune.confirmation.intervals import mean_interval

VALUES = [0.3, 0.5, 0.1, 0.45]


def test_the_interval_of_a_mean_is_students():
    found = mean_interval(VALUES)
    low, high = stats.t.interval(0.95, len(VALUES) - 1, loc=np.mean(VALUES), scale=stats.sem(VALUES))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(VALUES), low, high))


def test_equal_values_have_an_interval_of_no_length():
    found = mean_interval([0.25, 0.25, 0.25])
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)
