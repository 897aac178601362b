"""Means of a few repeated measurements, with intervals that hold them in 95 of 100 cases.

Notation: `S` seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
"""Share of the cases in which an interval holds what it is about."""


@dataclass(frozen=True)
class Interval:
    """An estimate and where the truth lies.

    Attributes:
        value: The estimate.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def interval(value: float, variance: float, freedom: float) -> Interval:
    """Student's interval around an estimate.

    Args:
        value: The estimate.
        variance: Its estimated variance, 0 or more.
        freedom: Degrees of freedom of that variance.
    """
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(variance) if variance > 0 else 0.0
    return Interval(value, value - half, value + half)


def spread(values: Sequence[float]) -> float:
    """The standard deviation of S >= 2 values, with S - 1 in the denominator."""
    return float(np.std(values, ddof=1))


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean of S >= 2 values and Student's interval, mean +- t(S - 1) sd / sqrt(S)."""
    return interval(float(np.mean(values)), spread(values) ** 2 / len(values), len(values) - 1)
