"""The order of points against one that follows the definitions word for word, and halving against that."""

import math
import random

import pytest

from bmtune.records import Point
from bmtune.records import Standing as Trial
from bmtune.records import beats
from bmtune.records import pareto_set
from bmtune.records import places_among
from bmtune.records import ranked
from bmtune.search.halving import Arrival
from bmtune.search.halving import Promotion
from bmtune.search.halving import Standing
from bmtune.search.halving import decide_among
from bmtune.search.halving import decide_arrival
from bmtune.search.halving import next_promotion


def better(left: Point, right: Point) -> bool:
    """Deb's constrained domination, case by case; costs decide between points that violate the constraints alike."""
    if left.violation == right.violation:
        no_worse = [mine <= other for mine, other in zip(left.costs, right.costs, strict=True)]
        one_better = [mine < other for mine, other in zip(left.costs, right.costs, strict=True)]
        return all(no_worse) and any(one_better)
    if left.violation == 0 or right.violation == 0:
        return left.violation == 0
    return left.violation < right.violation


def peeled(points: list[Point]) -> list[list[Point]]:
    """Fronts by taking away what nothing beats, again and again."""
    left, fronts = list(dict.fromkeys(points)), []
    while left:
        fronts.append([point for point in left if not any(better(other, point) for other in left)])
        left = [point for point in left if point not in fronts[-1]]
    return fronts


def netted(front: list[Point]) -> list[Point]:
    """An epsilon-net by looking at all distances each time."""
    columns = list(zip(*(point.costs for point in front), strict=True))

    def place(point: Point) -> list[float]:
        return [
            (cost - min(column)) / ((max(column) - min(column)) or 1.0)
            for cost, column in zip(point.costs, columns, strict=True)
        ]

    def distance(one: Point, other: Point) -> float:
        return math.dist(place(one), place(other))

    waiting = sorted(front, key=lambda point: point.costs)
    chosen = [waiting.pop(0)]
    while waiting:
        farthest = max(min(distance(point, other) for other in chosen) for point in waiting)
        best = next(point for point in waiting if min(distance(point, other) for other in chosen) == farthest)
        waiting.remove(best)
        chosen.append(best)
    return chosen


def some_points(rng: random.Random, costs: int, number: int) -> list[Point]:
    """Points on a grid, so that many costs are equal, a third of which break a constraint."""
    return [
        Point(
            tuple(float(rng.randint(0, 6)) for _ in range(costs)),
            rng.choice((0.0, 0.0, rng.randint(1, 3) / 4)),
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize("costs", [1, 2, 3, 4])
def test_places_are_those_of_the_definition(costs: int) -> None:
    rng = random.Random(costs)
    for _ in range(60):
        points = some_points(rng, costs, rng.randint(1, 25))
        fronts = peeled(points)
        found = places_among(points)
        by_place = dict(zip(found, points, strict=True))
        ordered = [by_place[place] for place in range(len(by_place))]
        assert [point for front in fronts for point in netted(front)] == ordered
        assert all(beats(one, other) == better(one, other) for one in points for other in points)
        again = list(zip(points, found, strict=True))
        rng.shuffle(again)
        assert places_among([point for point, _ in again]) == [place for _, place in again]


@pytest.mark.parametrize("costs", [2, 3])
def test_a_pareto_set_is_what_no_other_trial_beats_and_comes_first_in_the_ranking(costs: int) -> None:
    rng = random.Random(costs)
    for _ in range(60):
        points = some_points(rng, costs, 20)
        trials = [Trial(number, rng.random(), point) for number, point in enumerate(points)]
        members = [
            trial.number
            for trial in trials
            if not trial.point.violation and not any(better(other, trial.point) for other in points)
        ]
        found = pareto_set(trials)
        order = ranked(trials)
        assert sorted(found) == members
        assert order[: len(found)] == found
        assert sorted(order) == [number for number, point in enumerate(points) if not point.violation]


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_halving_promotes_what_is_among_the_best_of_its_rung(eta: int) -> None:
    rng = random.Random(eta)
    promoted = 0
    for _ in range(300):
        points = some_points(rng, 2, rng.randint(1, 14))
        arrivals = [Arrival(trial, point.costs[0], point) for trial, point in enumerate(points)]
        waiting = {trial: 9 for trial in range(len(points)) if rng.random() < 0.6}
        order = [point for front in peeled(points) for point in netted(front)]
        best = sorted(range(len(points)), key=lambda trial: (order.index(points[trial]), trial))
        wanted = next((trial for trial in best[: len(points) // eta] if trial in waiting), None)
        found = next_promotion(Standing({9: arrivals}, waiting), eta, "min")
        # The best that waits is promoted only if it is among the best 1/eta of all.
        assert found == (None if wanted is None else Promotion(wanted, 9))
        promoted += found is not None
        *before, last = arrivals
        others = {trial: rung for trial, rung in waiting.items() if trial != last.trial}
        decision = decide_arrival(last, 9, Standing({9: before}, others), eta, "min")
        mine = next((trial for trial in best[: len(points) // eta] if trial in {*others, last.trial}), None)
        assert decision == ("promote" if mine == last.trial else "pause")
    assert promoted > 50


def test_halving_stops_what_a_share_of_its_rung_is_better_than_and_treats_equals_alike() -> None:
    rng = random.Random(5)
    seen = set()
    for _ in range(300):
        points = some_points(rng, 2, rng.randint(1, 14))
        *before, last = (Arrival(trial, point.costs[0], point) for trial, point in enumerate(points))
        order = [point for front in peeled(points) for point in netted(front)]
        earlier = sum(order.index(arrival.point) < order.index(last.point) for arrival in before)
        wanted = "continue" if len(points) < 3 or earlier < max(1, len(points) // 3) else "stop"
        assert decide_among(last, before, 3, "min") == wanted
        seen.add(wanted)
    assert seen == {"continue", "stop"}
