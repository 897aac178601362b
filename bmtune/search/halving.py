"""Asynchronous successive halving as pure functions.

A rung is a number of main-phase epochs. A trial that reaches one is compared with all values that were
seen there, its own included, and goes on if it is among the best 1/eta of them.

References:
    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", MLSys (arXiv 1810.05934).
"""

import math
from collections.abc import Sequence
from typing import Literal

Decision = Literal["continue", "stop"]
Direction = Literal["max", "min"]


def rungs(grace: int, eta: int, max_epochs: int) -> tuple[int, ...]:
    """The rungs below `max_epochs`: grace, grace * eta, grace * eta^2, ...; the end itself needs no decision."""
    found: list[int] = []
    rung = grace
    while rung < max_epochs:
        found.append(rung)
        rung *= eta
    return tuple(found)


def decide(value: float | None, others: Sequence[float | None], eta: int, direction: Direction) -> Decision:
    """Whether a trial goes on from a rung.

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
    if value is None or not math.isfinite(value):
        return "stop"
    seen = len(others) + 1
    if seen < eta:
        return "continue"
    finite = [other for other in others if other is not None and math.isfinite(other)]
    better = sum(other > value if direction == "max" else other < value for other in finite)
    return "continue" if better < max(1, seen // eta) else "stop"
