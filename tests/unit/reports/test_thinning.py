import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmtune.reports.thinning import points_each
from bmtune.reports.thinning import thinned


def test_a_short_curve_keeps_every_point():
    assert thinned([3.0, 1.0, 2.0], 4) == [0, 1, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(4, 60), st.data())
def test_ends_and_the_kept_point_stay_and_no_more_than_asked(values: list[float], most: int, data: st.DataObject):
    keep = data.draw(st.integers(0, len(values) - 1))
    found = thinned(values, most, keep)
    assert found == sorted(set(found))
    assert {0, keep, len(values) - 1} <= set(found)
    assert len(found) <= most
    assert len(found) >= min(len(values), most - 1)


def test_a_single_peak_survives():
    values = [0.0] * 500
    values[321] = 5.0
    assert 321 in thinned(values, 20)


def test_a_thinned_wave_keeps_its_height():
    values = [math.sin(step / 5) for step in range(400)]
    chosen = [values[place] for place in thinned(values, 60)]
    assert max(chosen) == pytest.approx(1, abs=0.05)
    assert min(chosen) == pytest.approx(-1, abs=0.05)


def test_many_curves_have_few_points_each_and_one_page_stays_small():
    assert points_each(1) == 60
    assert points_each(3000) == 40
    assert points_each(1_000_000) == 12
