"""Whether a confirmed winner can be believed, on simulated searches whose true values are known.

Each repetition draws the true values of 64 configurations, measures each once with noise (the search), and confirms
the best K and the base configuration on S seeds, which share a part of their noise as splits of the data do. Four
questions, with the code that confirms real runs:

- gain: the winner's true value minus that of the search's raw best, paired over repetitions, with its standard error;
- covered: how often the interval holds the winner's true value (asked: 93 to 97 %), beside Student's interval of its
  mean, which choosing makes too high, and the same with its share of the error spread over all that were confirmed
  (Bonferroni);
- bias of the estimate and of the plain mean, in standard deviations of the noise;
- false alarms: how often any configuration is called better than one that is as good or better (asked: at most 5 %),
  beside the same with Holm's correction for the winner's own comparisons only.

`BMTUNE_BENCHMARK_REPETITIONS` makes it smaller than 4000 repetitions.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmarks.table import Result
from bmtune.confirmation.comparisons import SIGNIFICANT
from bmtune.confirmation.comparisons import holm
from bmtune.confirmation.comparisons import paired_p
from bmtune.confirmation.verdict import Measured
from bmtune.confirmation.verdict import judge
from bmtune.records import Objective

REPETITIONS = int(os.environ.get("BMTUNE_BENCHMARK_REPETITIONS", "4000"))
CONFIGURATIONS = 64
Prior = Callable[[np.random.Generator, int], NDArray[np.float64]]
OBJECTIVE = Objective(metric="acc", mode="max")


@dataclass(frozen=True)
class Scenario:
    """A kind of search.

    Attributes:
        name: What it is like.
        prior: Draws true values; higher is better.
        noise: Standard deviation of one measurement.
        shared: That of the part which all configurations of a seed share.
        unequal: Standard deviation of the logarithm of each configuration's own noise.
        top: K.
        seeds: S.
    """

    name: str
    prior: Prior
    noise: float = 1.0
    shared: float = 0.5
    unequal: float = 0.0
    top: int = 3
    seeds: int = 5


def heavy(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom: a few configurations are far better."""
    return generator.standard_t(3, size)


def bounded(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Minus a log-normal number: many configurations are nearly the best there can be."""
    return -np.exp(generator.standard_normal(size))


def equal(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """All the same: whatever is called better is a false alarm."""
    return np.zeros(size)


SCENARIOS = (
    Scenario("a few far better", heavy),
    Scenario("a few far better, little noise", heavy, noise=0.3),
    Scenario("a few far better, unequal noise", heavy, unequal=0.5),
    Scenario("many nearly the best", bounded),
    Scenario("many nearly the best, little noise", bounded, noise=0.3),
    Scenario("all equal", equal),
    Scenario("all equal, unequal noise", equal, unequal=0.5),
    Scenario("a few far better, 3 seeds", heavy, seeds=3),
    Scenario("a few far better, 1:5", heavy, top=1),
    Scenario("a few far better, 8:5", heavy, top=8),
    Scenario("all equal, 8:5", equal, top=8),
)
ASKED = SCENARIOS[:-4]
"""With the default of 3 configurations and 5 seeds."""


class Repetition(NamedTuple):
    """What one simulated search and its confirmation came to; everything in the units of the true values."""

    gain: float
    covered: bool
    covered_by_mean: bool
    covered_by_bonferroni: bool
    bias: float
    bias_of_mean: float
    alarm: bool
    alarm_of_own: bool
    better_than_base: bool


def repetition(scenario: Scenario, generator: np.random.Generator) -> Repetition:
    """One search and its confirmation."""
    true = scenario.prior(generator, CONFIGURATIONS)
    noise = scenario.noise * np.exp(scenario.unequal * generator.standard_normal(CONFIGURATIONS))
    searched = true + noise * generator.standard_normal(CONFIGURATIONS)
    chosen = tuple(int(place) for place in np.argsort(-searched)[: scenario.top])
    trials = chosen if 0 in chosen else (*chosen, 0)
    split = scenario.shared * generator.standard_normal(scenario.seeds)
    values = {
        trial: tuple((true[trial] + split + noise[trial] * generator.standard_normal(scenario.seeds)).tolist())
        for trial in trials
    }
    found = judge(Measured(OBJECTIVE, tuple(range(scenario.seeds)), values, 0, chosen), ())
    truth = true[found.trial]
    own = next(entry for entry in found.trials if entry.trial == found.trial)
    assert own.mean is not None, "a winner has a mean"
    width = stdtrit(scenario.seeds - 1, np.array([0.975, 1 - 0.025 / len(trials)]))
    wide = (own.mean.high - own.mean.value) * float(width[1] / width[0])
    others = [trial for trial in trials if trial != found.trial]
    own_only = holm([paired_p(values[found.trial], values[other]) for other in others])
    return Repetition(
        gain=truth - true[chosen[0]],
        covered=found.estimate.low <= truth <= found.estimate.high,
        covered_by_mean=own.mean.low <= truth <= own.mean.high,
        covered_by_bonferroni=abs(own.mean.value - truth) <= wide,
        bias=found.estimate.value - truth,
        bias_of_mean=own.mean.value - truth,
        alarm=any(entry.differs and truth <= true[entry.trial] for entry in found.comparisons),
        alarm_of_own=any(p <= SIGNIFICANT and truth <= true[other] for p, other in zip(own_only, others, strict=True)),
        better_than_base=any(entry.differs and entry.trial == 0 for entry in found.comparisons),
    )


def simulate(scenario: Scenario, repetitions: int, seed: int = 0) -> NDArray[np.float64]:
    """Repetitions as rows, their fields as columns."""
    generator = np.random.default_rng(seed)
    return np.array([repetition(scenario, generator) for _ in range(repetitions)], dtype=float)


def run() -> list[Result]:
    """A row for each kind of search."""
    columns = ("search", "gain", "+-", "covered %", "by mean", "by Bonferroni", "bias", "of mean")
    table = Result(
        f"confirmed winners of {REPETITIONS} simulated searches each",
        (*columns, "false alarms %", "own only", "better than base %", "met"),
    )
    for scenario in SCENARIOS:
        found = simulate(scenario, REPETITIONS)
        means = Repetition(*found.mean(0).tolist())
        error = float(found[:, 0].std(ddof=1)) / sqrt(REPETITIONS)
        met = 0.93 <= means.covered <= 0.97 and means.alarm <= SIGNIFICANT and means.gain + 2 * error >= 0
        shares = (100 * means.covered, 100 * means.covered_by_mean, 100 * means.covered_by_bonferroni)
        biases = (means.bias / scenario.noise, means.bias_of_mean / scenario.noise)
        alarms = (100 * means.alarm, 100 * means.alarm_of_own, 100 * means.better_than_base)
        table.rows.append((scenario.name, means.gain, error, *shares, *biases, *alarms, met))
    return [table]
