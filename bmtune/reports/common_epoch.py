"""The value of every trial at one and the same number of epochs, so that stopped trials can be compared with others."""

import math
from dataclasses import dataclass

from bmtune.config.space_model import Params
from bmtune.reports.history import RunHistory
from bmtune.reports.history import TrialCourse
from bmtune.reports.progress import TrialProgress

ENOUGH = 0.75
"""Share of the trials that must have come to the common epoch."""


@dataclass(frozen=True)
class Measured:
    """A trial's value at the common epoch.

    Attributes:
        trial: Its number.
        params: Its searched values.
        value: The objective at its best epoch up to there; infinitely bad where it diverged.
    """

    trial: int
    params: Params
    value: float


@dataclass(frozen=True)
class CommonEpoch:
    """Trials that can be compared.

    Attributes:
        epoch: Epochs of the main phase; 0 where too few trials have been measured.
        trials: The trials that came so far, or ended before by themselves.
        left_out: How many trials did neither, or were ended by an exception.
    """

    epoch: int
    trials: tuple[Measured, ...]
    left_out: int


def common_epoch(history: RunHistory) -> CommonEpoch:
    """The latest epoch to which three quarters of the trials came, with their values there.

    Where halving stops two thirds of the trials at its first rung, this is the first rung. A trial that ended by itself
    before keeps its best value; one that diverged counts as the worst, because its configuration is to blame; one that
    an exception ended is left out.
    """
    reach = {number: _reach(history, trial) for number, trial in history.progress.trials.items()}
    furthest = sorted((reached for reached in reach.values() if reached > 0), reverse=True)
    enough = math.ceil(ENOUGH * len(furthest))
    epoch = int(min(furthest[enough - 1], history.started.max_epochs)) if furthest else 0
    measured = [
        Measured(number, trial.params, value)
        for number, trial in history.progress.trials.items()
        if reach[number] >= max(epoch, 1) and (value := _value(history, trial, epoch)) is not None
    ]
    return CommonEpoch(epoch, tuple(measured), len(reach) - len(measured))


def _reach(history: RunHistory, trial: TrialProgress) -> float:
    """To which epoch the value of a trial is known."""
    if history.courses[trial.trial].error is not None:
        return 0
    return math.inf if trial.state in ("completed", "failed") else trial.budget


def _value(history: RunHistory, trial: TrialProgress, epoch: int) -> float | None:
    if trial.state == "failed":
        return history.sign * math.inf
    return best_until(history.courses[trial.trial], epoch)


def best_until(course: TrialCourse, epoch: int) -> float | None:
    """The objective at a trial's best epoch among the first `epoch` ones; None where there is none."""
    reached = [main.best for main in course.main if main.budget <= epoch]
    return reached[-1] if reached else None
