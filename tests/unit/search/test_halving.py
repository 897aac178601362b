import math

import pytest

from bmtune.search.halving import Arrival
from bmtune.search.halving import Mode
from bmtune.search.halving import Standing
from bmtune.search.halving import best_waiting
from bmtune.search.halving import decide
from bmtune.search.halving import decide_arrival
from bmtune.search.halving import halving_mode
from bmtune.search.halving import next_promotion
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


@pytest.mark.parametrize(
    ("asked", "with_packs", "without"),
    [(None, "promote", "stop"), ("stop", "stop", "stop"), ("promote", "promote", "promote")],
)
def test_halving_promotes_with_packs_unless_something_else_was_asked(
    asked: Mode | None, with_packs: Mode, without: Mode
) -> None:
    assert halving_mode(asked, packs=True) == with_packs
    assert halving_mode(asked, packs=False) == without


def arrivals(*values: float | None) -> list[Arrival]:
    return [Arrival(trial, value) for trial, value in enumerate(values)]


def test_the_highest_rung_with_a_promotable_trial_comes_first() -> None:
    standing = Standing(
        {2: arrivals(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 6: [Arrival(0, 0.9), Arrival(1, 0.1), Arrival(2, 0.5)]},
        {0: 6, 1: 6, 2: 6, 3: 2},
    )
    assert next_promotion(standing, 3, "min") == (1, 6)
    assert next_promotion(standing, 3, "max") == (0, 6)
    # At the upper rung one of three goes on and has gone; at the lower one the fourth is not among the best two.
    assert next_promotion(Standing(standing.arrivals, {0: 6, 2: 6, 3: 2}), 3, "min") is None
    assert next_promotion(Standing(standing.arrivals, {0: 6, 2: 6, 3: 2, 5: 2}), 3, "max") == (0, 6)


def test_of_equal_trials_as_many_as_there_are_places_go_on_in_the_order_of_their_arrival() -> None:
    here = arrivals(*[1.0] * 7)
    waiting = dict.fromkeys(range(7), 4)
    assert next_promotion(Standing({4: here}, waiting), 3, "min") == (0, 4)
    del waiting[0]
    assert next_promotion(Standing({4: here}, waiting), 3, "max") == (1, 4)
    del waiting[1]
    assert next_promotion(Standing({4: here}, waiting), 3, "min") is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_cannot_be_compared_is_never_promoted_and_never_waits(value: float | None) -> None:
    seen = Standing({4: arrivals(value, value, value)}, {})
    assert decide_arrival(Arrival(9, value), 4, seen, 2, "max") == "stop"
    assert decide_arrival(Arrival(9, 1.0), 4, seen, 2, "min") == "promote"


def test_an_arrival_whose_place_belongs_to_another_pauses() -> None:
    above = Standing({4: arrivals(1.0, 2.0), 8: [Arrival(7, 1.0), Arrival(8, 2.0)]}, {7: 8})
    assert decide_arrival(Arrival(9, 0.5), 4, above, 2, "min") == "pause"
    assert decide_arrival(Arrival(9, 0.5), 4, Standing(above.arrivals, {}), 2, "min") == "promote"


def test_the_best_of_those_that_wait_at_the_highest_rung() -> None:
    standing = Standing({2: arrivals(1.0, 2.0, 3.0), 6: [Arrival(1, 5.0), Arrival(2, 4.0)]}, {0: 2, 1: 6, 2: 6})
    assert best_waiting(standing, "min") == (2, 6)
    assert best_waiting(standing, "max") == (1, 6)
    assert best_waiting(Standing(standing.arrivals, {}), "max") is None
