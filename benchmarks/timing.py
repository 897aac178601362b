"""Timing in pairs: rival and candidate take turns, so that a machine that slows down slows both."""

from collections.abc import Callable
from statistics import median
from time import perf_counter


def milliseconds(function: Callable[[], object], runs: int, warmup: int = 2) -> float:
    """The median time of a call, in milliseconds."""
    return paired(function, None, runs, warmup)[0]


def paired(
    candidate: Callable[[], object], rival: Callable[[], object] | None, runs: int, warmup: int = 2
) -> tuple[float, float]:
    """The median times of candidate and rival, called in turns, in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(runs + warmup):
        for function, found in zip((candidate, rival), times, strict=True):
            if function is None:
                continue
            began = perf_counter()
            function()
            if turn >= warmup:
                found.append((perf_counter() - began) * 1e3)
    return median(times[0]), median(times[1]) if times[1] else float("nan")
