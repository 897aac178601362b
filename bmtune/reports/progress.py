"""A run as its records tell it: one mutable tally that live table, log lines and summaries share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import Literal

from pydantic import JsonValue

from bmtune.records import Aims
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import Standing
from bmtune.records import TrialEnqueued
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import aims_in
from bmtune.records import merit
from bmtune.records import nearest
from bmtune.records import pareto_set
from bmtune.records import ranked

TrialState = Literal["running", "paused", "completed", "pruned", "failed"]


@dataclass
class TrialProgress:
    """What is known of one trial.

    Attributes:
        trial: Its number, from 0.
        params: Searched values by dotted path.
        seed: Seed of this trial.
        state: Running until a record says how it ended, or that it waits for a promotion.
        reason: Why it ended, in words.
        phase: Phase of the latest epoch; None before the first.
        epoch: The latest epoch, counted within its phase.
        budget: Epochs of the main phase so far.
        metrics: Values of the latest epoch by metric name.
        best_epoch: Epoch of the main phase with the best objective; None where there is none.
        best_metrics: Values at that epoch.
        passed: Rungs from which it went on.
        stopped: Whether halving stopped it at a rung, or it waits at one.
        promotions: How often it went on after it had waited.
        checkpoint: Folder of the best checkpoint relative to the run folder, or None.
    """

    trial: int
    params: dict[str, JsonValue]
    seed: int
    state: TrialState = "running"
    reason: str = ""
    phase: str | None = None
    epoch: int = 0
    budget: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    best_metrics: dict[str, float] | None = None
    passed: int = 0
    stopped: bool = False
    promotions: int = 0
    checkpoint: str | None = None


class RunProgress:
    """Listens to records and adds them up.

    Attributes:
        started: The first record, with the trials that the run may have by now; None before it came.
        finished: The last record of a search that ended by itself, else None.
        trials: Every trial by number, in order of their start.
        num_epochs: Epochs of all trials and phases.
        num_taken: Trials of another run from which proposals learn.
        num_enqueued: Configurations that are tried before anything is proposed, besides the base one.
        num_before: Epochs from before the run was resumed last; 0 where it never was.
        num_shared: Trials that took the result of pre-training from another one.
        notices: What the user should know of the run.
        promotes: Whether a trial paused at a rung, or was promoted from one.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.started: RunStarted | None = None
        self.finished: RunFinished | None = None
        self.trials: dict[int, TrialProgress] = {}
        self.num_epochs = 0
        self.num_taken = 0
        self.num_enqueued = 0
        self.num_before = 0
        self.num_shared = 0
        self.notices: list[str] = []
        self.promotes = False
        for record in records:
            self.on_record(record)

    def on_record(self, record: Record) -> None:
        """Adds one record.

        Raises:
            ValueError: It speaks of a trial that no record before it has started.
        """
        match record:
            case RunStarted() | RunResumed() | TrialTaken() | TrialEnqueued() | Notice() | RunFinished():
                self._on_run(record)
            case TrialStarted():
                self.trials[record.trial] = TrialProgress(record.trial, record.params, record.seed)
            case PretrainingShared():
                self.num_shared += 1
            case Epoch():
                self._add_epoch(record)
            case Rung():
                self._meet_rung(record)
            case TrialPromoted():
                self._promote(record)
            case CheckpointWritten(which="best"):
                self._trial(record.trial).checkpoint = record.path
            case TrialFinished():
                self._end_trial(record)

    def _trial(self, number: int) -> TrialProgress:
        if number not in self.trials:
            raise ValueError(f"trial {number} must have been started, but it was not")
        return self.trials[number]

    def _on_run(self, record: RunStarted | RunResumed | TrialTaken | TrialEnqueued | Notice | RunFinished) -> None:
        match record:
            case RunStarted():
                self.started, self.finished = record, None
            case RunResumed():
                assert self.started is not None, "a run begins before it goes on"
                self.started = self.started.model_copy(update={"trials": record.trials})
                self.finished, self.num_before = None, self.num_epochs
            case TrialTaken():
                self.num_taken += 1
            case TrialEnqueued():
                self.num_enqueued += 1
            case Notice():
                self.notices.append(record.text)
            case RunFinished():
                self.finished = record

    def _add_epoch(self, record: Epoch) -> None:
        trial = self._trial(record.trial)
        self.num_epochs += 1
        if record.budget < trial.budget:
            # A trial that is trained again tells of an epoch that was lost from the records.
            return
        trial.phase, trial.epoch, trial.budget = record.phase, record.epoch, record.budget
        trial.metrics = record.metrics
        trial.best_epoch, trial.best_metrics = record.best_epoch, record.best_metrics

    def _meet_rung(self, record: Rung) -> None:
        trial = self._trial(record.trial)
        self.promotes |= record.decision in ("pause", "promote")
        trial.stopped = record.decision in ("stop", "pause")
        if record.decision == "pause":
            trial.state = "paused"
        elif not trial.stopped:
            trial.passed += 1

    def _promote(self, record: TrialPromoted) -> None:
        trial = self._trial(record.trial)
        trial.state, trial.stopped = "running", False
        trial.passed += 1
        trial.promotions += 1

    def _end_trial(self, record: TrialFinished) -> None:
        trial = self._trial(record.trial)
        trial.state, trial.reason = record.status, record.reason
        if record.best_metrics is not None:
            trial.best_epoch, trial.best_metrics = record.best_epoch, record.best_metrics

    def count(self, state: TrialState) -> int:
        """How many trials are in `state`."""
        return sum(trial.state == state for trial in self.trials.values())

    @property
    def num_ended(self) -> int:
        """Trials that have ended."""
        return sum(trial.state not in ("running", "paused") for trial in self.trials.values())

    @property
    def num_promotions(self) -> int:
        """How often a trial went on after it had waited at a rung."""
        return sum(trial.promotions for trial in self.trials.values())

    def value(self, trial: TrialProgress) -> float | None:
        """The objective at the trial's best epoch; None where it has none, or none that is finite."""
        if self.started is None or trial.best_epoch is None or trial.best_metrics is None:
            return None
        value = trial.best_metrics.get(self.started.objective.metric)
        return value if value is not None and math.isfinite(value) else None

    def ranked(self) -> list[TrialProgress]:
        """All trials that did not fail, have a value and satisfy the constraints, best first.

        Merit counts before the value: a lucky early epoch of a trial that was the worse one at its rung does not win.
        Of equals the earlier trial comes first. With several objectives see `bmtune.records.ranked`.
        """
        return [self.trials[number] for number in ranked(self._standings())]

    def pareto(self) -> list[TrialProgress]:
        """With several objectives, of `ranked` those that no other trial beats; else none."""
        return [self.trials[number] for number in pareto_set(self._standings())]

    def nearest(self) -> TrialProgress | None:
        """The measured trial that violates the constraints least, or None."""
        number = nearest(self._standings())
        return None if number is None else self.trials[number]

    @property
    def aims(self) -> Aims:
        """The objectives and constraints; of a run that has not begun there are none."""
        return Aims(()) if self.started is None else aims_in(self.started)

    def _standings(self) -> list[Standing]:
        if self.started is None:
            return []
        aims = self.aims
        found = []
        for trial in self.trials.values():
            point = aims.point(trial.best_metrics) if trial.best_epoch is not None else None
            if trial.state != "failed" and point is not None:
                found.append(Standing(trial.trial, self._merit(trial), point))
        return found

    def _merit(self, trial: TrialProgress) -> float:
        whole = trial.state == "completed"
        return merit(passed=trial.passed, held=trial.stopped, whole=whole, promotes=self.promotes)
