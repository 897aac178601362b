"""Which of some configurations differ, when all were measured on the same seeds.

Notation: `M` configurations, `S` seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

SIGNIFICANT = 0.05
"""A difference is one if its corrected p-value is at most this: so seldom is one seen between equal configurations."""


@dataclass(frozen=True)
class Comparison:
    """The winner against another configuration.

    Attributes:
        other: Place of the other one.
        difference: Mean of the winner's values minus those of the other, seed by seed.
        p: Two-sided p-value of the paired t-test.
        p_corrected: The same, corrected for all pairs of configurations.
    """

    other: int
    difference: float
    p: float
    p_corrected: float

    @property
    def differs(self) -> bool:
        """Whether the difference is one."""
        return self.p_corrected <= SIGNIFICANT


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of the paired t-test that two configurations are equally good, from S >= 2 seeds.

    Differences that are all the same tell no scale: then it is that of the sign test, 2^(1 - S), or 1 if they are 0.
    """
    differences = np.subtract(first, second)
    mean, num_seeds = float(differences.mean()), len(differences)
    if mean == 0:
        return 1.0
    if np.ptp(differences) <= 1e-12 * abs(mean):
        return float(2.0 ** (1 - num_seeds))
    error = float(differences.std(ddof=1)) / num_seeds**0.5
    return float(2 * stdtr(num_seeds - 1, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected so that any false alarm among them all is as rare as the level says.

    References:
        Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 65-70.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def against_others(values: NDArray[np.float64], winner: int) -> list[Comparison]:
    """The winner against every other configuration.

    The winner is chosen by the very values that it is tested with, and any of them might have been chosen. So the
    correction is for all M (M - 1) / 2 pairs: one for the winner's own M - 1 alone lets more than 5 % of false alarms
    through (6 % at M = 4, 9 % at M = 6).

    Args:
        values: (M, S), paired by seed.
        winner: Place of the winner among M.
    """
    pairs = list(combinations(range(len(values)), 2))
    p_values = [paired_p(values[one], values[other]) for one, other in pairs]
    found = []
    for pair, p, corrected in zip(pairs, p_values, holm(p_values), strict=True):
        if winner in pair:
            other = pair[0] if pair[1] == winner else pair[1]
            found.append(Comparison(other, float(values[winner].mean() - values[other].mean()), p, corrected))
    return sorted(found, key=lambda comparison: comparison.other)
