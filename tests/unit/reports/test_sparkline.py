import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmtune.reports.sparkline import BLOCKS
from bmtune.reports.sparkline import BestCourse
from bmtune.reports.sparkline import sparkline

VALUES = st.lists(st.none() | st.floats(-1e300, 1e300), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("values", "rises", "drawn"),
    [
        ([0.0, 0.5, 1.0], True, "▁▅█"),
        ([0.0, 0.5, 1.0], False, "█▅▁"),
        # From one decade on, equal ratios are equal steps.
        ([1.0, 0.1, 0.01], False, "▁▅█"),
        ([None, 2.0, 2.0], True, " ▁▁"),
        ([None, None], False, "  "),
        ([1.0, math.inf, math.nan], True, "▁  "),
    ],
)
def test_the_better_a_value_the_higher_it_is_drawn(values: list[float | None], drawn: str, *, rises: bool):
    assert sparkline(values, rises=rises) == drawn


@given(VALUES, st.booleans(), st.booleans())
def test_any_values_are_drawn_in_as_many_characters(
    values: list[float | None],
    rises: bool,  # noqa: FBT001 - Hypothesis gives arguments by place
    ascii_only: bool,  # noqa: FBT001
):
    drawn = sparkline(values, rises=rises, ascii_only=ascii_only)
    assert len(drawn) == len(values)
    assert [character == " " for character in drawn] == [value is None for value in values]
    assert drawn.isascii() or not ascii_only


@given(st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=20))
def test_heights_have_the_order_of_the_values(values: list[float]):
    drawn = sparkline(sorted(values), rises=True)
    assert [BLOCKS.index(character) for character in drawn] == sorted(BLOCKS.index(character) for character in drawn)


def test_a_course_has_the_best_value_at_each_place():
    course = BestCourse()
    for epochs, value in ((10, 0.5), (20, 0.5), (30, 0.4), (90, 0.1)):
        course.see(epochs, float(epochs), value)
    assert [best.epochs for best in course.seen] == [10, 30, 90]
    assert course.values(100, 10) == [0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1]
    assert BestCourse().values(100, 3) == [None] * 3
