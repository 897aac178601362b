"""Progress for a program: the events of `bmtune.reports.events`, one JSON object a line."""

import math
import time
from collections.abc import Callable
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from typing import Self

from bmtune.config.constraints import write_constraint
from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.reports.events import Aim
from bmtune.reports.events import BestFound
from bmtune.reports.events import Confirming
from bmtune.reports.events import Ended
from bmtune.reports.events import Event
from bmtune.reports.events import Progress
from bmtune.reports.events import Started
from bmtune.reports.events import Starting
from bmtune.reports.events import Told
from bmtune.reports.events import TrialBegan
from bmtune.reports.events import TrialEnded
from bmtune.reports.events import TrialPaused
from bmtune.reports.events import TrialWentOn
from bmtune.reports.progress import RunProgress

SECONDS_BETWEEN = 5.0
"""Least time between two lines that tell of progress."""


class JsonProgress:
    """Listens to records and writes a line for each event.

    Args:
        write: Takes one line without its newline.
        clock: Seconds that never run backwards.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._clock = clock
        self._now = now
        self._began = clock()
        self._looked_at = -math.inf
        self._told_best: tuple[int, float, tuple[int, ...]] | None = None
        self._progress = RunProgress()
        self._lanes: Callable[[], Sequence[tuple[int, int]]] = tuple

    def __enter__(self) -> Self:
        """Says that Ray starts."""
        self.say(Starting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""

    def say(self, event: type[Event], **facts: Any) -> None:
        """Writes an event of now."""
        self._write(event(time=self._now(), elapsed_s=self._clock() - self._began, **facts).model_dump_json())

    def catch_up(self, records: Sequence[Record]) -> None:
        """Counts what was recorded before and writes nothing."""
        for record in records:
            self._progress.on_record(record)

    def on_lanes(self, lanes: Callable[[], Sequence[tuple[int, int]]]) -> None:
        """Remembers whom to ask how full the processes are that train."""
        self._lanes = lanes

    def on_record(self, record: Record) -> None:
        """Writes what this record gives rise to, if anything."""
        self._progress.on_record(record)
        match record:
            case RunStarted() | RunResumed():
                self._start(resumed=isinstance(record, RunResumed))
            case Notice():
                self.say(Told, text=record.text)
            case RunFinished():
                self._tell_best()
                self.say(Ended, reason=record.reason, best=record.best, test_metrics=record.test_metrics or {})
            case _:
                self._on_trial(record)
        if isinstance(record, Epoch | TrialFinished) and self._clock() - self._looked_at >= SECONDS_BETWEEN:
            self._looked_at = self._clock()
            self._tell_best()
            self._tell_progress()

    def _on_trial(self, record: Record) -> None:
        match record:
            case TrialStarted():
                self.say(TrialBegan, trial=record.trial, params=record.params, seed=record.seed)
            case Rung(decision="pause"):
                self.say(TrialPaused, trial=record.trial, rung=record.rung, value=record.value)
            case TrialPromoted():
                self.say(TrialWentOn, trial=record.trial, rung=record.rung)
            case TrialFinished():
                trial = self._progress.trials[record.trial]
                facts = record.model_dump(include={"trial", "status", "reason", "value", "best_epoch"})
                self.say(TrialEnded, epochs=trial.budget, **facts)

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Writes a line for each training of the confirmation that has ended."""
        if progress.notice is not None:
            self.say(Told, text=progress.notice)
        if progress.latest is not None:
            end = progress.latest
            self.say(
                Confirming, done=progress.done, total=progress.total, trial=end.trial, seed=end.seed, value=end.value
            )

    def _start(self, *, resumed: bool) -> None:
        started = self._progress.started
        assert started is not None, "a run begins before it goes on"
        facts = started.model_dump(include={"run", "trainer", "dataset", "trials", "max_epochs", "seed"})
        aims = self._progress.aims
        self.say(
            Started,
            resumed=resumed,
            objectives=tuple(Aim(metric=entry.metric, mode=entry.mode) for entry in aims.objectives),
            constraints=tuple(map(write_constraint, aims.bounds)),
            **facts,
        )

    def _tell_best(self) -> None:
        ranked = self._progress.ranked()
        value = self._progress.value(ranked[0]) if ranked else None
        pareto = tuple(trial.trial for trial in self._progress.pareto())
        if value is None or (ranked[0].trial, value, pareto) == self._told_best:
            return
        self._told_best = (ranked[0].trial, value, pareto)
        self.say(
            BestFound,
            trial=ranked[0].trial,
            value=value,
            epoch=ranked[0].best_epoch,
            metrics=ranked[0].best_metrics,
            params=ranked[0].params,
            pareto=pareto,
        )

    def _tell_progress(self) -> None:
        progress = self._progress
        elapsed = max(self._clock() - self._began, 1e-9)
        states = ("running", "paused", "completed", "pruned", "failed")
        self.say(
            Progress,
            trials=len(progress.trials),
            epochs=progress.num_epochs,
            epochs_per_s=(progress.num_epochs - progress.num_before) / elapsed,
            lanes=tuple(self._lanes()),
            **{state: progress.count(state) for state in states},  # type: ignore[arg-type]
        )
