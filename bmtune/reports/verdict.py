"""What a search found, in sentences and one table."""

from collections.abc import Iterator
from dataclasses import dataclass

from bmtune.config.best import BestEntry
from bmtune.config.constraints import broken
from bmtune.config.constraints import write_constraint
from bmtune.config.metrics import METRICS
from bmtune.config.space import SearchSpace
from bmtune.records import beats
from bmtune.reports.common_epoch import best_until
from bmtune.reports.history import RunHistory
from bmtune.reports.progress import TrialProgress
from bmtune.reports.progress import TrialState
from bmtune.reports.wording import number
from bmtune.reports.wording import plural

_AIMS = {"max": "higher", "min": "lower"}
_SUPERLATIVES = {"max": "highest", "min": "lowest"}


@dataclass(frozen=True)
class MetricRow:
    """One metric of the winner, beside that of the base configuration.

    Attributes:
        name: The metric.
        meaning: What it is, with its unit; empty where bmtune does not know it.
        valid: On validation rows, at the winner's best epoch.
        test: On test rows; None: not measured there.
        base: On validation rows, at the best epoch of the base configuration.
    """

    name: str
    meaning: str
    valid: float | None
    test: float | None
    base: float | None


def aim(history: RunHistory) -> str:
    """`highest acc and the highest rob, with fid <= 0.01`."""
    aims = history.progress.aims
    objectives = [f"{_SUPERLATIVES[entry.mode]} {entry.metric}" for entry in aims.objectives]
    constraints = " and ".join(map(write_constraint, aims.bounds))
    return " and the ".join(objectives) + (f", with {constraints}," if constraints else "")


def base_trial(history: RunHistory, space: SearchSpace) -> TrialProgress | None:
    """The trial that had the base configuration, as the first one of a search has; None where none had."""
    wanted = space.base_params()
    return next((trial for trial in history.progress.trials.values() if trial.params == wanted), None)


def state_of(history: RunHistory) -> str:
    """One sentence: whether the search ended, and how its trials did."""
    progress = history.progress
    states: tuple[TrialState, ...] = ("completed", "pruned", "failed", "paused", "running")
    counted = ", ".join(f"{progress.count(state)} {state}" for state in states if progress.count(state))
    trials = f"{plural(len(progress.trials), 'trial')} of {history.started.trials}" + (
        f": {counted}" if counted else ""
    )
    if progress.finished is not None:
        return f"The search ended ({progress.finished.reason}) after {trials}."
    return f"The search has not ended: it is still going, or was interrupted. So far it started {trials}."


def unmeasured(history: RunHistory) -> str:
    """Why there is no winner, in one sentence."""
    progress = history.progress
    if not progress.trials:
        return "No trial has started yet."
    failed = progress.count("failed")
    if failed == len(progress.trials):
        return f"No trial could be measured: all {plural(failed, 'trial')} failed, for the causes below."
    others = f"; {failed} failed" if failed else ""
    begun = plural(len(progress.trials), "trial")
    near = progress.nearest()
    if near is not None:
        return f"No trial satisfies the constraints: {broken(progress.aims.bounds, near.trial, near.best_metrics)}."
    return f"No trial has finished an epoch of its main phase yet: {begun} started{others}."


def sentences(history: RunHistory, winner: BestEntry, base: TrialProgress | None) -> list[str]:
    """What to know of the winner beside its value."""
    if not history.progress.aims.is_plain:
        return [_among_several(history, base)]
    return [*_against_base(history, winner, base), *_early_luck(history, winner)]


def _among_several(history: RunHistory, base: TrialProgress | None) -> str:
    """Where the base configuration stands, where more than one number counts."""
    aims = history.progress.aims
    if base is None:
        return "No trial had the base configuration, so that the search has nothing to be compared with."
    found = aims.point(base.best_metrics)
    if found is None or base.best_metrics is None:
        return f"The base configuration (trial {base.trial}) was not measured: {base.reason or 'it is still training'}."
    values = ", ".join(f"{name} {number(base.best_metrics[name])}" for name in aims.names)
    told = f"The base configuration (trial {base.trial}) came to {values} at epoch {base.best_epoch}"
    if found.violation:
        return f"{told}: it does not satisfy the constraints."
    better = [
        trial.trial
        for trial in history.progress.ranked()
        if (point := aims.point(trial.best_metrics)) is not None and beats(point, found)
    ]
    if not better:
        return f"{told}: no trial beats it in everything."
    return f"{told}: {plural(len(better), 'trial')} beat it, trial {better[0]} among them."


def _against_base(history: RunHistory, winner: BestEntry, base: TrialProgress | None) -> Iterator[str]:
    metric = history.started.objective.metric
    if base is None:
        yield "No trial had the base configuration, so that the search has nothing to be compared with."
        return
    if base.trial == winner.trial:
        yield f"This is the base configuration itself (trial {base.trial}): the search found none that is better."
        return
    value = history.progress.value(base)
    if value is None:
        yield f"The base configuration (trial {base.trial}) was not measured: {base.reason or 'it is still training'}."
        return
    sentence = (
        f"The base configuration (trial {base.trial}) came to {metric} {number(value)} at epoch {base.best_epoch}"
    )
    yield f"{sentence}{_difference(history, winner.value, value)}."
    least = min(base.budget, history.progress.trials[winner.trial].budget)
    ours = best_until(history.courses[winner.trial], least)
    theirs = best_until(history.courses[base.trial], least)
    if base.budget != history.progress.trials[winner.trial].budget and ours is not None and theirs is not None:
        yield (
            f"After {plural(least, 'epoch')}, to which both came, the winner had {number(ours)} "
            f"and the base configuration {number(theirs)}."
        )


def _difference(history: RunHistory, winner: float, base: float) -> str:
    """How much better the winner is, in per cent where both are positive."""
    aim = _AIMS[history.started.objective.mode]
    if history.sign * winner >= history.sign * base:
        return "; the winner is not better"
    if winner > 0 and base > 0:
        return f"; the winner is {abs(winner - base) / base:.0%} {aim}".replace("%", " %")
    return f"; the winner is {number(abs(winner - base))} {aim}"


def _early_luck(history: RunHistory, winner: BestEntry) -> Iterator[str]:
    if not history.incumbents:
        return
    seen = history.incumbents[-1]
    if history.sign * seen.value < history.sign * winner.value and seen.trial != winner.trial:
        trial = history.progress.trials[seen.trial]
        yield (
            f"Trial {seen.trial} had {number(seen.value)} at epoch {trial.best_epoch}, but it was {trial.state} after "
            f"{plural(trial.budget, 'epoch')}: a trial that did not go on from a rung does not win over one that did."
        )


def metric_rows(history: RunHistory, winner: BestEntry, base: TrialProgress | None) -> list[MetricRow]:
    """Every metric of the winner, the objective first; training losses are left out."""
    before = base.best_metrics if base is not None and base.trial != winner.trial else None
    names = [name for name in winner.metrics if not name.startswith(("train/", "test/", "start/"))]
    objective = history.started.objective.metric
    return [
        MetricRow(
            name=name,
            meaning=meaning(name),
            valid=winner.metrics.get(name),
            test=winner.metrics.get(f"test/{name}"),
            base=(before or {}).get(name),
        )
        for name in sorted(names, key=lambda name: name != objective)
    ]


def meaning(name: str) -> str:
    """`accuracy of the predicted class, in share; higher is better`; empty for a metric that bmtune does not know."""
    metric = METRICS.get(name.partition("/")[0])
    return f"{metric.meaning}; {_AIMS[metric.direction]} is better" if metric else ""
