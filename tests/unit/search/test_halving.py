import math

import pytest

from bmtune.search.halving import decide
from bmtune.search.halving import rungs


@pytest.mark.parametrize(
    ("grace", "eta", "max_epochs", "expected"),
    [(1, 3, 27, (1, 3, 9)), (2, 3, 12, (2, 6)), (4, 2, 8, (4,)), (5, 3, 5, ()), (1, 3, 28, (1, 3, 9, 27))],
)
def test_rungs_lie_at_powers_of_eta_below_the_end(
    grace: int, eta: int, max_epochs: int, expected: tuple[int, ...]
) -> None:
    assert rungs(grace, eta, max_epochs) == expected


def test_one_in_eta_goes_on() -> None:
    others = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert decide(1.5, others, 3, "min") == "continue"
    assert decide(2.5, others, 3, "min") == "stop"
    assert decide(4.5, others, 3, "max") == "continue"
    assert decide(3.5, others, 3, "max") == "stop"


def test_equal_values_are_treated_alike() -> None:
    assert decide(1.0, [1.0] * 8, 3, "max") == "continue"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_cannot_be_compared_never_goes_on(value: float | None) -> None:
    assert decide(value, [], 3, "max") == "stop"
    assert decide(value, [value] * 9, 3, "min") == "stop"


def test_others_that_are_not_finite_count_as_seen_and_as_worse() -> None:
    assert decide(1.0, [math.nan, None, -math.inf], 3, "min") == "continue"
    assert decide(1.0, [0.5, math.nan, None], 4, "min") == "stop"
