"""How good a configuration is that was chosen for the highest mean: less so than that mean says.

Notation: `K` configurations among which one is chosen, `S` seeds. The value of configuration k with seed s is taken as
m + d_k + b_s + e_ks: a common level, the configuration's own part, the seed's part (the split of the data is the same
for all) and noise. What choosing makes too good is the own part of the chosen one, so that alone is shrunk.

References:
    Strawderman 1971, Proper Bayes minimax estimators of the multivariate normal mean, Ann. Math. Statist. 42, 385-388:
    the prior on the share B = noise / (noise + spread of the own parts), here B^(-3/4) on (0, 1).
    Lindley 1962, discussion of Stein, J. R. Statist. Soc. B 24, 285-287: shrinking towards the mean of all.
    Morris 1983, Parametric empirical Bayes inference, J. Am. Statist. Assoc. 78, 47-55: the variance after shrinking.
    Satterthwaite 1946, Biometrics Bulletin 2, 110-114: the degrees of freedom of a sum of variances.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from bmtune.confirmation.intervals import Interval
from bmtune.confirmation.intervals import interval
from bmtune.confirmation.intervals import mean_interval

EXPONENT = -0.75
"""Of the prior on B: 0 shrinks outliers too much, -1 shrinks equal ones too little (docs/confirmation.md)."""

NEARLY_NOTHING = 1e-6
"""Below it the incomplete gamma functions are replaced by their limit."""


class Share(NamedTuple):
    """What of the differences between configurations is noise.

    Attributes:
        mean: Its posterior mean, from 0 to 1.
        variance: Its posterior variance.
    """

    mean: float
    variance: float


def noise_share(num_configurations: int, ratio: float) -> Share:
    """The posterior of B for K configurations.

    With D the sum of squared own parts over the variance of the noise in one of them, the likelihood of B is
    B^((K - 1) / 2) exp(-B D / 2), so that its posterior is a gamma distribution cut off at 1.

    Args:
        num_configurations: K, at least 2.
        ratio: D, 0 or more.
    """
    shape, rate = (num_configurations + 1) / 2 + EXPONENT, ratio / 2
    if rate < NEARLY_NOTHING:
        first, second = shape / (shape + 1), shape / (shape + 2)
    else:
        below = float(gammainc(shape, rate))
        first = shape / rate * float(gammainc(shape + 1, rate)) / below
        second = shape * (shape + 1) / rate**2 * float(gammainc(shape + 2, rate)) / below
    return Share(first, max(0.0, second - first**2))


def chosen_mean(values: NDArray[np.float64], chosen: int, group: Sequence[int]) -> Interval:
    """The mean of a chosen configuration over all seeds there could be, with what choosing did to it taken back.

    Args:
        values: (M, S) with S >= 2, paired by seed.
        chosen: Place of the one with the best mean.
        group: Places of those that are alike before anything is known, the chosen one among them. With fewer than two
            nothing is shrunk.
    """
    if len(group) < 2:
        return mean_interval(values[chosen].tolist())
    members = values[list(group)]
    (num_members, num_seeds), place = members.shape, list(group).index(chosen)
    by_seed, by_member = members.mean(0), members.mean(1)
    level, freedom = float(members.mean()), (num_members - 1) * (num_seeds - 1)
    noise = float(((members - by_member[:, None] - by_seed + level) ** 2).sum()) / freedom / num_seeds
    own = by_member - level
    # Without noise there is nothing to shrink: what is seen is so.
    share = noise_share(num_members, float((own**2).sum()) / noise) if noise > 0 else Share(0.0, 0.0)
    of_level = float(by_seed.var(ddof=1)) / num_seeds
    of_own = noise * (1 - 1 / num_members) * (1 - share.mean) + share.variance * float(own[place]) ** 2
    variance = of_level + of_own
    divided = of_level**2 / (num_seeds - 1) + of_own**2 / freedom
    return interval(
        level + (1 - share.mean) * float(own[place]), variance, variance**2 / divided if divided > 0 else freedom
    )
