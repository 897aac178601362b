"""Progress for a log: one line an event, and few events."""

import math
import time
from collections.abc import Callable
from collections.abc import Sequence
from types import TracebackType
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
from bmtune.records import aims_in
from bmtune.redaction import one_line
from bmtune.reports.confirming import describe_training
from bmtune.reports.progress import RunProgress
from bmtune.reports.progress import TrialProgress
from bmtune.reports.wording import duration
from bmtune.reports.wording import metrics
from bmtune.reports.wording import number
from bmtune.reports.wording import params
from bmtune.reports.wording import plural

# A young search finds a new best many times a second; a log needs the latest of them now and then.
SECONDS_BETWEEN_BESTS = 5.0

_AIMS = {"max": "highest", "min": "lowest"}


class LineProgress:
    """Listens to records and writes a line for each event that a reader of a log wants to know.

    Args:
        write: Takes one line without its newline.
        clock: Seconds that never run backwards.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()
        self._looked_at = -math.inf
        self._told_best: tuple[float | None, list[int]] | None = None
        self._progress = RunProgress()

    def __enter__(self) -> Self:
        """Says what happens until the first record comes."""
        self._say("starting Ray and its workers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""

    def catch_up(self, records: Sequence[Record]) -> None:
        """Counts what was recorded before and writes nothing: the record that the run goes on is told in one line."""
        for record in records:
            self._progress.on_record(record)

    def on_lanes(self, lanes: Callable[[], Sequence[tuple[int, int]]]) -> None:
        """A log does not tell how full the processes are."""

    def on_record(self, record: Record) -> None:
        """Writes the lines that this record gives rise to, if any."""
        waited = isinstance(record, TrialFinished) and self._progress.trials[record.trial].state == "paused"
        self._progress.on_record(record)
        match record:
            case RunStarted():
                self._say(_start_of_run(record))
            case RunResumed():
                self._say(f"{_start_of_run(self._progress.started)}; {found(self._progress)}, going on")
            case Notice():
                self._say(f"note: {record.text}")
            case Epoch():
                self._first_epoch(record)
            case Rung(decision="pause"):
                self._say(self._pause_of_trial(record))
            case TrialPromoted():
                self._say(f"trial {record.trial} promoted: it goes on from rung {record.rung}")
            # The trials that still wait at the end of a search all end at once, and their pauses were told.
            case TrialFinished() if not waited:
                self._say(self._end_of_trial(record))
            case RunFinished():
                self._tell_best(now=True)
                self._say(end_of_run(record, self._progress, self._clock() - self._began))
        if isinstance(record, Epoch | TrialFinished):
            self._tell_best(now=False)

    def on_confirming(self, progress: ConfirmationProgress) -> None:
        """Writes a line, if a training of the confirmation has ended."""
        text = describe_training(progress)
        if text is not None:
            self._say(f"confirming {text}")

    def _say(self, text: str) -> None:
        self._write(f"[{duration(self._clock() - self._began):>8}] {one_line(text)}")

    def _first_epoch(self, record: Epoch) -> None:
        if self._progress.num_epochs == self._progress.num_before + 1:
            self._say(
                f"first epoch: trial {record.trial}, phase {record.phase}, {metrics(record.metrics)} "
                f"in {record.seconds:.2g} s"
            )

    def _end_of_trial(self, record: TrialFinished) -> str:
        trial = self._progress.trials[record.trial]
        done = self._progress.count("completed") + self._progress.count("pruned") + self._progress.count("failed")
        total = self._progress.started.trials if self._progress.started else done
        value = self._progress.value(trial)
        outcome = "" if value is None else f" at {self._metric()} {number(value)}"
        counted = self._progress.aims.counted(trial.best_metrics)
        if counted is not None and len(counted) > 1:
            outcome = f" at {metrics(counted, self._metric())}"
        return f"{done}/{total}: trial {record.trial} {record.status}{outcome} after {_epochs(trial)} ({record.reason})"

    def _pause_of_trial(self, record: Rung) -> str:
        value = "no value" if record.value is None else f"{self._metric()} {number(record.value)}"
        if record.values is not None:
            value = metrics(record.values, self._metric())
        return f"trial {record.trial} paused at rung {record.rung}, {value} ({self._progress.count('paused')} paused)"

    def _tell_best(self, *, now: bool) -> None:
        if not now and self._clock() - self._looked_at < SECONDS_BETWEEN_BESTS:
            return
        self._looked_at = self._clock()
        ranked = self._progress.ranked()
        if not ranked:
            return
        members = [trial.trial for trial in self._progress.pareto()]
        best = (self._progress.value(ranked[0]), members)
        if best != self._told_best:
            self._told_best = best
            which = f"best so far, first of the {len(members)} in the Pareto set" if members else "best so far"
            self._say(f"{which}: {describe(ranked[0], self._metric())}: {params(ranked[0].params)}")

    def _metric(self) -> str:
        return self._progress.started.objective.metric if self._progress.started else ""


def found(progress: RunProgress) -> str:
    """What a run that goes on has: `3 finished, 2 running, 1 paused`."""
    return f"{progress.num_ended} finished, {progress.count('running')} running, {progress.count('paused')} paused"


def _start_of_run(record: RunStarted | None) -> str:
    assert record is not None, "a run begins before it goes on"
    aims = aims_in(record)
    aim = " and ".join(f"{_AIMS[entry.mode]} {entry.metric}" for entry in aims.objectives)
    if aims.bounds:
        aim += f" with {' and '.join(map(write_constraint, aims.bounds))}"
    return (
        f"run {record.run}: {record.trainer} on {record.dataset}, {aim}, "
        f"at most {plural(record.trials, 'trial')} of {plural(record.max_epochs, 'epoch')}, seed {record.seed}"
    )


def _epochs(trial: TrialProgress) -> str:
    return plural(trial.budget, "epoch")


def describe(trial: TrialProgress, metric: str) -> str:
    """`trial 7, fid 3.02e-04, acc 0.9955 at epoch 12`."""
    return f"trial {trial.trial}, {metrics(trial.best_metrics or {}, metric)} at epoch {trial.best_epoch}"


def end_of_run(record: RunFinished, progress: RunProgress, seconds: float) -> str:
    """The last line of a run: why it ended and how its trials did."""
    states = ", ".join(f"{progress.count(state)} {state}" for state in ("completed", "pruned", "failed"))
    if progress.num_promotions:
        states += f", {progress.num_promotions} promoted after a pause"
    test = f"; the best on the test rows: {metrics(record.test_metrics)}" if record.test_metrics else ""
    return (
        f"finished ({record.reason}): {plural(len(progress.trials), 'trial')} ({states}), "
        f"{_epochs_in(progress, seconds)}{_shared(progress.num_shared)}{test}"
    )


def _epochs_in(progress: RunProgress, seconds: float) -> str:
    whole = plural(progress.num_epochs, "epoch")
    if not progress.num_before:
        return f"{whole} in {duration(seconds)}"
    return f"{whole}, {progress.num_epochs - progress.num_before} of them in the {duration(seconds)} since it went on"


def _shared(num_trials: int) -> str:
    return f"; pre-training was shared with {plural(num_trials, 'trial')}" if num_trials else ""
