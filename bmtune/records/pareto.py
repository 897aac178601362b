"""Which of several measured things is better when there are several objectives, or constraints: pure functions.

Notation: a point has a cost for each objective, the lower the better, and a violation, 0 where all constraints hold. A
point *beats* another one where it violates them less, or as much, and no cost of it is higher and one is lower. This is
a strict partial order.

References:
    Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE TEVC 6(2): constrained
    domination and fronts; points that violate the constraints alike are compared by their costs here.
    Schmucker et al. 2021, "Multi-objective Asynchronous Successive Halving" (arXiv 2106.12639): fronts ordered within
    themselves by an epsilon-net, for halving.
    Zhang et al. 2015, "An Efficient Approach to Nondominated Sorting for Evolutionary Multiobjective Optimization",
    IEEE TEVC 19(2): points in lexicographic order join the first front of which none beats them.
"""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from bmtune.records.kinds import Bound
from bmtune.records.kinds import Objective
from bmtune.records.kinds import RunStarted


class Point(NamedTuple):
    """What trials, or epochs of one trial, are compared by.

    Attributes:
        costs: The objectives, with signs such that lower ones are better; finite.
        violation: How far constraints are broken, each as a fraction of its limit; 0: they hold.
    """

    costs: tuple[float, ...]
    violation: float = 0.0


class Aims(NamedTuple):
    """What a search is for.

    Attributes:
        objectives: At least one.
        bounds: Its constraints.
    """

    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether there is one objective and no constraint."""
        return len(self.objectives) == 1 and not self.bounds

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics that count, each once: the objectives first."""
        found = (*(entry.metric for entry in self.objectives), *(bound.metric for bound in self.bounds))
        return tuple(dict.fromkeys(found))

    def point(self, metrics: Mapping[str, float] | None) -> Point | None:
        """What was measured as a point; None where something is missing, or no finite number."""
        if metrics is None or not all(math.isfinite(metrics.get(name, math.nan)) for name in self.names):
            return None
        costs = tuple(metrics[entry.metric] * (-1 if entry.mode == "max" else 1) for entry in self.objectives)
        return Point(costs, sum(bound.excess(metrics[bound.metric]) for bound in self.bounds))

    def counted(self, metrics: Mapping[str, float] | None) -> dict[str, float] | None:
        """Of what was measured that which counts; None where something is missing."""
        if metrics is None or any(name not in metrics for name in self.names):
            return None
        return {name: metrics[name] for name in self.names}


def aims_in(header: RunStarted) -> Aims:
    """What the run is for that begins with this record."""
    return Aims((header.objective, *header.others), header.bounds)


def beats(left: Point, right: Point) -> bool:
    """Whether `left` beats `right`, as the module says."""
    if left.violation != right.violation:
        return left.violation < right.violation
    return left.costs != right.costs and all(mine <= other for mine, other in zip(left.costs, right.costs, strict=True))


def places_among(points: Sequence[Point]) -> list[int]:
    """The place of each point in one order, 0 for the best; equal points share a place.

    Fronts come one after the other: the points that none beats, then those that only these beat, and so on. Within a
    front the point with the lowest first cost comes first, then always the one that is farthest from all before it, in
    units of the front's extent along each cost: so any beginning of the order is spread over the front.
    """
    order = {point: place for place, point in enumerate(_ordered(frozenset(points)))}
    return [order[point] for point in points]


# Every decision at a rung asks for the order of all that arrived there, and mostly nothing has arrived since.
@lru_cache(maxsize=64)
def _ordered(points: frozenset[Point]) -> tuple[Point, ...]:
    return tuple(point for front in _fronts(sorted(points, key=_sorting)) for point in _spread(front))


def _sorting(point: Point) -> tuple[float, tuple[float, ...]]:
    return point.violation, point.costs


def _fronts(ordered: Sequence[Point]) -> list[list[Point]]:
    """The fronts of different points that come in order of `_sorting`, each in that order too."""
    found: list[list[Point]] = []
    for _, group in groupby(ordered, key=lambda point: point.violation):
        # All points of the groups before beat all of this one.
        fronts: list[list[Point]] = []
        for point in group:
            front = next((front for front in fronts if not _is_beaten(point, front)), None)
            if front is None:
                fronts.append([point])
            else:
                front.append(point)
        found += fronts
    return found


def _is_beaten(point: Point, front: Sequence[Point]) -> bool:
    """Whether a member of a front beats a point that comes after all of them in order."""
    # Of two costs, the last member of a front has the lowest second one.
    members = front[-1:] if len(point.costs) == 2 else front[::-1]
    return any(beats(member, point) for member in members)


def _spread(front: Sequence[Point]) -> list[Point]:
    """A front in the order of an epsilon-net."""
    lows = [min(column) for column in zip(*(point.costs for point in front), strict=True)]
    highs = [max(column) for column in zip(*(point.costs for point in front), strict=True)]
    scales = [(low, high - low or 1.0) for low, high in zip(lows, highs, strict=True)]
    left = {
        point: [(cost - low) / extent for cost, (low, extent) in zip(point.costs, scales, strict=True)]
        for point in front
    }
    distances = dict.fromkeys(left, math.inf)
    chosen: list[Point] = []
    while left:
        # Of equals the first in order.
        best = max(left, key=distances.__getitem__)
        here = left.pop(best)
        chosen.append(best)
        for point, place in left.items():
            distances[point] = min(distances[point], math.dist(here, place))
    return chosen


class Standing(NamedTuple):
    """A trial among those that can win.

    Attributes:
        number: Its number.
        merit: What counts before its value where there is one objective; see `merit`.
        point: What was measured at its best epoch.
    """

    number: int
    merit: float
    point: Point


def ranked(trials: Sequence[Standing]) -> list[int]:
    """The numbers of all trials that satisfy the constraints, best first.

    One objective: by merit, then by value. Several: by `places`, whatever the merit; what a trial came to it came to,
    and its network is kept. Of equals the earlier trial comes first.
    """
    found = [trial for trial in trials if not trial.point.violation]
    if found and len(found[0].point.costs) > 1:
        order = places_among([trial.point for trial in found])
        return [number for _, number in sorted(zip(order, (trial.number for trial in found), strict=True))]
    return [trial.number for trial in sorted(found, key=lambda trial: (-trial.merit, trial.point.costs, trial.number))]


def pareto_set(trials: Sequence[Standing]) -> list[int]:
    """The numbers of the trials that satisfy the constraints and that no other one beats, in the order of `ranked`.

    Empty where there is one objective: then there is one best trial.
    """
    found = [trial for trial in trials if not trial.point.violation]
    if not found or len(found[0].point.costs) == 1:
        return []
    front: list[Point] = []
    for point in sorted({trial.point for trial in found}, key=_sorting):
        if not _is_beaten(point, front):
            front.append(point)
    order = {point: place for place, point in enumerate(_spread(front))}
    members = [(order[trial.point], trial.number) for trial in found if trial.point in order]
    return [number for _, number in sorted(members)]


def nearest(trials: Sequence[Standing]) -> int | None:
    """The number of the trial that violates the constraints least; None where there is none."""
    return min(trials, key=lambda trial: (trial.point.violation, trial.number)).number if trials else None
