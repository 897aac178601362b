"""What a search cost, and what halving spared it."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from bmtune.reports.history import RunHistory
from bmtune.reports.progress import TrialProgress

Untrained = Literal["held", "by itself", "cut off", "failed", "still going"]
"""Why epochs of a trial's whole budget were not trained: halving held it, it ended by itself (its patience was over, or
its goal was reached), the search ended before it, it failed, or it may still train them."""


@dataclass(frozen=True)
class Cost:
    """What a search cost.

    Attributes:
        wall_s: Length of the search, in seconds.
        trained_s: Seconds of all epochs, added up over trials; in a pack each trial has its share.
        epochs: Epochs by phase, in order of their first.
        main: Epochs of the main phase.
        full: Epochs of the main phase if every trial that was started had trained its whole budget.
        untrained: What lies between `main` and `full`, by cause; the rest of `full` is `main`.
    """

    wall_s: float
    trained_s: float
    epochs: dict[str, int]
    main: int
    full: int
    untrained: dict[Untrained, int]


def cost_of(history: RunHistory) -> Cost:
    """What a run cost up to its last record; `full == main + sum(untrained.values())`."""
    budget = history.started.max_epochs
    phases: Counter[str] = Counter()
    for course in history.courses.values():
        phases.update(epoch.phase for epoch in course.epochs)
    untrained: Counter[Untrained] = Counter()
    for trial in history.progress.trials.values():
        untrained[_cause(trial)] += budget - trial.budget
    trials = history.progress.trials.values()
    return Cost(
        wall_s=history.seconds,
        trained_s=sum(course.seconds for course in history.courses.values()),
        epochs=dict(phases),
        main=sum(trial.budget for trial in trials),
        full=budget * len(trials),
        untrained={cause: count for cause, count in untrained.items() if count},
    )


def _cause(trial: TrialProgress) -> Untrained:
    if trial.state == "failed":
        return "failed"
    if trial.stopped:
        return "held"
    if trial.state == "running":
        return "still going"
    return "by itself" if trial.state == "completed" else "cut off"
