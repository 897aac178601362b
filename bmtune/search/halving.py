"""Asynchronous successive halving as pure functions.

A rung is a number of main-phase epochs. A trial that reaches one is compared with all values that were seen there, its
own included; with several objectives or constraints by its place in one order of them all (`bmtune.records.pareto`).
There are two ways to go on from there:

- **stop**: a trial outside the best 1/eta ends at once, on the evidence that there is at that moment.
- **promote**: as published. Every trial pauses at its rung until it is promoted: whenever a place is free, the best
  trial that is among the best 1/eta of its rung and waits there goes on, from the highest rung down, and only where
  there is none a new trial starts. Later results can make a trial promotable that was not when it arrived.

References:
    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", MLSys (arXiv 1810.05934), Algorithm 2.
"""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from typing import NamedTuple
from typing import TypeGuard

from bmtune.records import Point
from bmtune.records import places_among

Mode = Literal["promote", "stop"]
Decision = Literal["continue", "stop", "promote", "pause"]
Direction = Literal["max", "min"]


class Arrival(NamedTuple):
    """A trial at a rung.

    Attributes:
        trial: Its number.
        value: Its value there, of the first objective; None where it has none.
        point: What it is compared by where there are several objectives or constraints.
    """

    trial: int
    value: float | None
    point: Point | None = None


class Promotion(NamedTuple):
    """A trial that goes on, and the rung that it leaves."""

    trial: int
    rung: int


@dataclass(frozen=True)
class Standing:
    """What all rungs have seen.

    Attributes:
        arrivals: By rung, in order of arrival.
        waiting: Paused trials and the rung at which each waits.
    """

    arrivals: Mapping[int, Sequence[Arrival]]
    waiting: Mapping[int, int]


def halving_mode(asked: Mode | None, *, packs: bool) -> Mode:
    """How halving works: as asked; else it promotes where trials share packs, and stops where they do not.

    Pausing a lane of a pack costs next to nothing; pausing a process costs its start when it goes on.
    """
    return asked or ("promote" if packs else "stop")


def rungs(grace: int, eta: int, max_epochs: int) -> tuple[int, ...]:
    """The rungs below `max_epochs`: grace, grace * eta, grace * eta^2, ...; the end itself needs no decision."""
    found: list[int] = []
    rung = grace
    while rung < max_epochs:
        found.append(rung)
        rung *= eta
    return tuple(found)


def decide(value: float | None, others: Sequence[float | None], eta: int, direction: Direction) -> Decision:
    """Whether a trial goes on from a rung at which halving stops.

    Args:
        value: Its own value there; None where it has none.
        others: The values of the trials that were there before it.
        eta: One in `eta` goes on.
        direction: Whether larger or smaller values are better.

    Returns:
        "stop" for a value that is not finite, whatever the others are: it could not be compared. "continue" while fewer
        than `eta` values are known, because one in `eta` of them is less than one. Else "continue" exactly if fewer
        than `len / eta` (rounded down, at least one) of the other values are strictly better, so that equal
        trials are treated alike and the order of arrival does not decide between them.
    """
    if not _is_comparable(value):
        return "stop"
    seen = len(others) + 1
    if seen < eta:
        return "continue"
    finite = [other for other in others if other is not None and math.isfinite(other)]
    better = sum(other > value if direction == "max" else other < value for other in finite)
    return "continue" if better < max(1, seen // eta) else "stop"


def decide_among(arrival: Arrival, others: Sequence[Arrival], eta: int, direction: Direction) -> Decision:
    """As `decide`, for a trial that is compared by more than one value: a better one has an earlier place.

    Args:
        arrival: The trial.
        others: Those that were there before it.
        eta: One in `eta` goes on.
        direction: That of the first objective.
    """
    if arrival.point is None:
        return decide(arrival.value, [other.value for other in others], eta, direction)
    seen = len(others) + 1
    if seen < eta:
        return "continue"
    order = _places([*others, arrival], direction)
    better = sum(place[0] < order[arrival.trial][0] for place in order.values())
    return "continue" if better < max(1, seen // eta) else "stop"


def next_promotion(standing: Standing, eta: int, direction: Direction) -> Promotion | None:
    """The trial that a free place belongs to; None: to a new one.

    Args:
        standing: What all rungs have seen.
        eta: One in `eta` is promoted.
        direction: Whether larger or smaller values are better.

    Returns:
        From the highest rung with such a trial, the best trial that waits there and is among the best `len / eta`
        (rounded down) of all that arrived. A value that is not finite counts among those that arrived and is never
        promoted. Of equal trials those that arrived first are the better ones.
    """
    for rung in sorted(set(standing.waiting.values()), reverse=True):
        places = _places(standing.arrivals[rung], direction)
        best = _best(standing, rung, places)
        # Where the best of those that wait is not among the best of all, no other is.
        if sum(place < places[best] for place in places.values()) < len(standing.arrivals[rung]) // eta:
            return Promotion(best, rung)
    return None


def decide_arrival(arrival: Arrival, rung: int, standing: Standing, eta: int, direction: Direction) -> Decision:
    """What becomes of a trial that arrives at a rung from which halving promotes.

    Args:
        arrival: The trial and its value.
        rung: Where it arrives.
        standing: What all rungs had seen before.
        eta: One in `eta` is promoted.
        direction: Whether larger or smaller values are better.

    Returns:
        "promote" where its own place, which it makes free, belongs to itself; else "pause". "stop" for a value that
        is not finite, because nothing that comes later can make it promotable.
    """
    if not _is_comparable(arrival.value):
        return "stop"
    with_it = Standing(
        {**standing.arrivals, rung: [*standing.arrivals.get(rung, ()), arrival]},
        {**standing.waiting, arrival.trial: rung},
    )
    return "promote" if next_promotion(with_it, eta, direction) == Promotion(arrival.trial, rung) else "pause"


def best_waiting(standing: Standing, direction: Direction) -> Promotion | None:
    """The best of the trials that wait at the highest rung at which any waits."""
    if not standing.waiting:
        return None
    rung = max(standing.waiting.values())
    return Promotion(_best(standing, rung, _places(standing.arrivals[rung], direction)), rung)


def _best(standing: Standing, rung: int, places: Mapping[int, tuple[float, int]]) -> int:
    """The best of the trials that wait at a rung, at least one."""
    return min((trial for trial, waits_at in standing.waiting.items() if waits_at == rung), key=places.__getitem__)


def _places(arrivals: Sequence[Arrival], direction: Direction) -> dict[int, tuple[float, int]]:
    """What orders the trials of a rung that can be compared: the lower the better, then the arrival.

    That is the value; with several objectives or constraints the place among all of them (`bmtune.records.pareto`).
    """
    points = {arrival.trial: arrival.point for arrival in arrivals if arrival.point is not None}
    if points:
        found: dict[int, float] = dict(zip(points, places_among(list(points.values())), strict=True))
    else:
        sign = -1 if direction == "max" else 1
        found = {arrival.trial: sign * arrival.value for arrival in arrivals if _is_comparable(arrival.value)}
    return {
        arrival.trial: (found[arrival.trial], position)
        for position, arrival in enumerate(arrivals)
        if arrival.trial in found
    }


def _is_comparable(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
