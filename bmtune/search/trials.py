"""A trial of a search, while it may still get better and when it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from bmtune.config.space_model import Params
from bmtune.records import Metrics
from bmtune.records import TrialFinished


@dataclass(frozen=True)
class RunningTrial:
    """A trial that may still get better.

    Attributes:
        number: Counted from 0.
        params: Searched values by path.
        seed: The trial's seed.
        budget: Main-phase epochs done.
        best_epoch: The best of them, or None.
        best_metrics: Validation metrics of that epoch.
        passed: Rungs from which it went on.
        stopped_at: The rung at which halving stopped it, or at which it waits; None where it goes on.
        checkpoints: Paths, relative to the run folder, by "best" and "last".
        shared: Whether it took the result of pre-training from another trial.
    """

    number: int
    params: Params
    seed: int
    budget: int = 0
    best_epoch: int | None = None
    best_metrics: Metrics | None = None
    passed: int = 0
    stopped_at: int | None = None
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that ended: how it ran, and how it ended."""

    run: RunningTrial
    end: TrialFinished
