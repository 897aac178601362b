"""What a confirmation found: numbers for `best.yaml`, and one sentence."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bmtune.config.best import ComparisonEntry
from bmtune.config.best import ConfirmationEntry
from bmtune.config.best import ConfirmedEntry
from bmtune.config.best import IntervalEntry
from bmtune.confirmation.comparisons import Comparison
from bmtune.confirmation.comparisons import against_others
from bmtune.confirmation.intervals import Interval
from bmtune.confirmation.intervals import mean_interval
from bmtune.confirmation.intervals import spread
from bmtune.confirmation.shrinkage import chosen_mean
from bmtune.records import Metrics
from bmtune.records import Objective


@dataclass(frozen=True)
class Measured:
    """What was measured of the configurations that are confirmed.

    Attributes:
        objective: What they are compared by.
        seeds: The S seeds.
        values: By trial, as the search ranked them: the objective on validation rows by seed; None where it failed.
        base: The trial with the base configuration.
        chosen: The trials that the search found best, the best first.
    """

    objective: Objective
    seeds: tuple[int, ...]
    values: Mapping[int, tuple[float | None, ...]]
    base: int
    chosen: tuple[int, ...]

    @property
    def search_best(self) -> int:
        """The trial that the search found best."""
        return self.chosen[0]

    @property
    def whole(self) -> dict[int, list[float]]:
        """The values of the trials that failed on no seed."""
        found = {trial: [value for value in values if value is not None] for trial, values in self.values.items()}
        return {trial: values for trial, values in found.items() if len(values) == len(self.seeds)}

    @property
    def winner(self) -> int | None:
        """The trial with the best mean, the first of equals; None where each failed on some seed."""
        best: tuple[int, float] | None = None
        for trial, values in self.whole.items():
            mean = float(np.mean(values))
            if best is None or self.objective.better(mean, best[1]):
                best = trial, mean
        return best[0] if best else None

    def median_seed(self, trial: int) -> int:
        """The place of the seed whose value is the median of a whole trial; of two the worse one."""
        values = self.whole[trial]
        worst_first = sorted(range(len(values)), key=values.__getitem__, reverse=self.objective.mode == "min")
        return worst_first[(len(values) - 1) // 2]


def judge(measured: Measured, tests: Sequence[Metrics]) -> ConfirmationEntry:
    """Everything that follows from what was measured.

    Args:
        measured: Of at least one trial that failed on no seed.
        tests: The winner's metrics on test rows, by seed.
    """
    winner, whole = measured.winner, measured.whole
    assert winner is not None, "a winner is judged"
    trials, values = list(whole), np.array(list(whole.values()))
    compared = against_others(values, trials.index(winner))
    estimate = chosen_mean(values, trials.index(winner), _alike(measured, trials, winner))
    kept = measured.median_seed(winner)
    return ConfirmationEntry(
        verdict=_verdict(measured, winner, estimate, [(trials[found.other], found) for found in compared]),
        metric=measured.objective.metric,
        trial=winner,
        search_best=measured.search_best,
        base=measured.base,
        estimate=_entry(estimate),
        seeds=measured.seeds,
        trials=tuple(_confirmed(trial, of_trial, whole.get(trial)) for trial, of_trial in measured.values.items()),
        comparisons=tuple(
            ComparisonEntry(
                trial=trials[found.other],
                difference=found.difference,
                p=found.p,
                p_corrected=found.p_corrected,
                differs=found.differs,
            )
            for found in compared
        ),
        test=_over_seeds(tests),
        kept=(
            f"best/ and the configuration here are of seed {measured.seeds[kept]}: the median of {len(measured.seeds)} "
            "on validation rows, not the luckiest"
        ),
    )


def _alike(measured: Measured, trials: Sequence[int], winner: int) -> list[int]:
    """The places of those that the search chose, and of the base where it won or is one of the search's best."""
    base = measured.base
    counts = winner == base or base in measured.chosen
    return [place for place, trial in enumerate(trials) if trial != base or counts]


def _confirmed(trial: int, values: tuple[float | None, ...], whole: list[float] | None) -> ConfirmedEntry:
    mean, sd = (None, None) if whole is None else (_entry(mean_interval(whole)), spread(whole))
    return ConfirmedEntry(trial=trial, values=values, mean=mean, sd=sd)


def _entry(found: Interval) -> IntervalEntry:
    return IntervalEntry(value=found.value, low=found.low, high=found.high)


def _over_seeds(tests: Sequence[Metrics]) -> dict[str, IntervalEntry]:
    names = tests[0] if tests else ()
    return {name: _entry(mean_interval([metrics[name] for metrics in tests])) for name in names}


def _verdict(measured: Measured, winner: int, estimate: Interval, compared: Sequence[tuple[int, Comparison]]) -> str:
    """The sentence."""
    half = (estimate.high - estimate.low) / 2
    value = f"{measured.objective.metric} {estimate.value:.3g} +- {half:.2g} over {len(measured.seeds)} seeds"
    better = [_with_p(measured, trial, found) for trial, found in compared if found.differs]
    alike = [_with_p(measured, trial, found) for trial, found in compared if not found.differs]
    parts = [f"{_who(measured, winner)}: {value}"]
    if better:
        parts.append(f"better than {_listed(better)}")
    if alike:
        parts.append(f"not distinguishable from {_listed(alike)}")
    failed = {trial: sum(value is None for value in values) for trial, values in measured.values.items()}
    parts += [
        f"{_name(measured, trial)} failed on {count} of {len(measured.seeds)} seeds"
        for trial, count in failed.items()
        if count
    ]
    return ", ".join(parts)


def _who(measured: Measured, winner: int) -> str:
    if winner == measured.search_best:
        return f"{_name(measured, winner)} confirmed"
    nothing = ": the search found nothing better" if winner == measured.base else ""
    return f"{_name(measured, winner)} in place of trial {measured.search_best}, the search's best{nothing}"


def _name(measured: Measured, trial: int) -> str:
    return f"trial {trial}, the base configuration" if trial == measured.base else f"trial {trial}"


def _with_p(measured: Measured, trial: int, found: Comparison) -> str:
    name = "the base configuration" if trial == measured.base else f"trial {trial}"
    return f"{name} ({_p(found.p_corrected)})"


def _p(value: float) -> str:
    """`p = .003`, `p = .4`, `p < .001`."""
    if value < 0.001:
        return "p < .001"
    return f"p = {value:.1g}".replace("0.", ".", 1) if value < 0.95 else "p = 1"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


__all__ = ["Measured", "judge"]
