from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bmtune.packing.width import TooBig
from bmtune.packing.width import best_width
from bmtune.packing.width import ladder
from bmtune.packing.width import settled
from bmtune.packing.width import split
from bmtune.packing.width_file import Measured


def test_the_fastest_width_wins():
    assert best_width([Measured(1, 1.0, 10), Measured(4, 0.3, 40), Measured(8, 0.4, 80)], None) == 4


def test_of_widths_within_three_percent_the_smallest_wins():
    measured = [Measured(1, 1.0, 1), Measured(4, 0.512, 4), Measured(8, 0.51, 8), Measured(16, 0.5, 16)]
    assert best_width(measured, None) == 4
    assert best_width(measured[::-1], None) == 4
    assert best_width([Measured(4, 0.52, 4), Measured(8, 0.5, 8)], None) == 8


def test_only_widths_that_leave_a_fifth_of_the_free_memory_are_chosen():
    measured = [Measured(1, 1.0, 100), Measured(4, 0.5, 400), Measured(8, 0.3, 800)]
    assert best_width(measured, 1000) == 8
    assert best_width(measured, 999) == 4
    assert best_width(measured, 499) == 1


def test_a_single_lane_may_take_all_that_is_free_and_no_more():
    measured = [Measured(1, 1.0, 100), Measured(4, 0.5, 400)]
    assert best_width(measured, 100) == 1
    assert best_width(measured, 99) == TooBig(100)
    assert best_width([Measured(4, 0.5, 400)], 99) == TooBig(100)


measurements = st.lists(
    st.builds(Measured, st.integers(1, 256), st.floats(1e-6, 1e3), st.integers(0, 2**40)),
    min_size=1,
    max_size=8,
    unique_by=lambda entry: entry.width,
)


@given(measurements, st.none() | st.integers(0, 2**41))
def test_a_chosen_width_is_good_whatever_was_measured_in_whatever_order(measured, free):
    best = best_width(measured, free)
    assert best == best_width(measured[::-1], free)
    if isinstance(best, TooBig):
        assert best.bytes > free
        return
    chosen = [entry for entry in measured if entry.width == best]
    fitting = [entry for entry in measured if free is None or entry.bytes <= 0.8 * free]
    if fitting:
        assert chosen[0] in fitting
        assert chosen[0].seconds * 0.97 <= min(entry.seconds for entry in fitting)
    else:
        assert best == 1


@given(st.lists(st.integers(), max_size=200), st.integers(1, 64))
def test_lanes_are_split_into_as_few_and_as_equal_packs_as_can_be(lanes, width):
    packs = split(lanes, width)
    assert [lane for pack in packs for lane in pack] == lanes
    sizes = [len(pack) for pack in packs]
    assert len(packs) == -(-len(lanes) // width)
    assert max(sizes, default=0) <= width
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_the_ladder_ends_with_the_first_width_that_holds_all():
    assert [ladder(number)[-1] for number in (1, 2, 4, 5, 64, 65)] == [1, 4, 4, 8, 64, 128]
    assert all(low < high for low, high in pairwise(ladder(1000)))


def test_two_wider_packs_without_a_gain_settle_the_matter_and_one_does_not():
    assert not settled([Measured(1, 1.0, 0), Measured(4, 2.0, 0)])
    assert settled([Measured(1, 1.0, 0), Measured(4, 1.0, 0), Measured(8, 0.98, 0)])
    assert not settled([Measured(1, 1.0, 0), Measured(4, 1.0, 0), Measured(8, 0.96, 0)])
