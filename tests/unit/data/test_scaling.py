import numpy as np
import pytest

from bmtune.data import fit_scaler


def test_training_range_goes_to_the_interval_and_what_lies_outside_is_clipped_and_counted():
    scaler = fit_scaler(np.array([[0.0, 10.0], [4.0, 30.0]]), (-1.0, 1.0))
    scaled, clipped = scaler.transform(np.array([[1.0, 20.0], [5.0, 9.0], [-1.0, 30.0]]))
    assert scaled.tolist() == [[-0.5, 0.0], [1.0, -1.0], [-1.0, 1.0]]
    assert clipped == 3


def test_a_constant_feature_goes_to_the_middle_whatever_its_later_values():
    scaler = fit_scaler(np.full((3, 1), 7.0), (0.0, 1.0))
    scaled, clipped = scaler.transform(np.array([[7.0], [8.0], [-1e300]]))
    assert scaled.tolist() == [[0.5]] * 3
    assert clipped == 2


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1.0, 1.7e308])
def test_ranges_at_the_ends_of_the_number_type_scale(size):
    scaler = fit_scaler(np.array([[-size], [size]]), (-1.0, 1.0))
    scaled, clipped = scaler.transform(np.array([[-size], [0.0], [size]]))
    assert scaled.tolist() == [[-1.0], [0.0], [1.0]]
    assert clipped == 0
