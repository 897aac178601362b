"""The course of a run, trial by trial: what figures, exports and comparisons need beyond the tally."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Epoch
from bmtune.records import Metrics
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.reports.moments import moments
from bmtune.reports.progress import RunProgress
from bmtune.reports.summary import RECORDS_FILE
from bmtune.reports.summary import SEARCH_FILE


class MainEpoch(NamedTuple):
    """An epoch of the main phase, finished: with the retraining that it needed."""

    budget: int
    """Epochs of the main phase so far, this one included."""
    metrics: Metrics
    best: float | None
    """The objective at the best epoch up to here; None: there is none yet."""


class Span(NamedTuple):
    """A stretch in which a trial was trained, in seconds of the search."""

    begin: float
    end: float


class Incumbent(NamedTuple):
    """A value that was better than all before it in its run."""

    epochs: int
    """Epochs of all trials and phases up to here."""
    seconds: float
    """Seconds of the search up to here."""
    value: float
    trial: int


@dataclass
class TrialCourse:
    """What one trial did, in order.

    Attributes:
        epochs: Every epoch of every phase.
        main: The epochs of its main phase.
        rungs: The rungs that it met.
        spans: When it was trained.
        began: Seconds of the search at its start.
        ended: The same at its end; None where it has not ended.
        error: The traceback of the exception that ended it, or None.
    """

    began: float
    epochs: list[Epoch] = field(default_factory=list)
    main: list[MainEpoch] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    ended: float | None = None
    error: str | None = None
    _open: float | None = None

    def go_on(self, moment: float) -> None:
        """The trial is trained from here on."""
        self._open = moment

    def rest(self, moment: float) -> None:
        """The trial is not trained from here on."""
        if self._open is not None:
            self.spans.append(Span(self._open, max(moment, self._open)))
            self._open = None

    @property
    def seconds(self) -> float:
        """Time of all its epochs."""
        return sum(epoch.seconds for epoch in self.epochs)


class RunHistory:
    """Everything that the records say of a run, in order of the trials.

    Attributes:
        progress: The tally.
        courses: By number, what each trial did.
        incumbents: The best values in the order in which they were found, of whichever trial.
        seconds: Length of the search up to its last record, without the time in which it did not run.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.progress = RunProgress()
        self.courses: dict[int, TrialCourse] = {}
        self.incumbents: list[Incumbent] = []
        self.seconds = 0.0
        for record, moment in zip(records, moments(records), strict=True):
            self.progress.on_record(record)
            self.seconds = moment
            self._take(record, moment)
        for number, course in self.courses.items():
            if self.progress.trials[number].state == "running":
                course.rest(self.seconds)

    @property
    def started(self) -> RunStarted:
        """The first record."""
        assert self.progress.started is not None, "`read_run` refuses records without a first one"
        return self.progress.started

    @property
    def sign(self) -> int:
        """1 where smaller values are better, -1 where larger ones are: sign * value is the smaller the better."""
        return -1 if self.started.objective.mode == "max" else 1

    def _take(self, record: Record, moment: float) -> None:
        match record:
            case TrialStarted():
                course = self.courses[record.trial] = TrialCourse(moment)
                course.go_on(moment)
            case Epoch():
                self._add_epoch(record, moment)
            case Rung():
                self.courses[record.trial].rungs.append(record)
                if record.decision in ("stop", "pause"):
                    self.courses[record.trial].rest(moment)
            case TrialPromoted():
                self.courses[record.trial].go_on(moment)
            case TrialFinished():
                course = self.courses[record.trial]
                course.rest(moment)
                course.ended, course.error = moment, record.error

    def _add_epoch(self, record: Epoch, moment: float) -> None:
        course = self.courses[record.trial]
        course.epochs.append(record)
        best = self.progress.value(self.progress.trials[record.trial])
        # A main epoch is finished by the record that counts it: its own, or that of the retraining it needed.
        if record.budget > (course.main[-1].budget if course.main else 0):
            course.main.append(MainEpoch(record.budget, record.metrics, best))
        if best is not None and (not self.incumbents or self.sign * best < self.sign * self.incumbents[-1].value):
            self.incumbents.append(Incumbent(self.progress.num_epochs, moment, best, record.trial))


@dataclass(frozen=True)
class RunRead:
    """A run folder, read.

    Attributes:
        folder: Where it lies.
        history: What its records say.
        space: Its `search.yaml`.
        notice: One sentence about a damaged end of the records that was left out, or None.
        written: When the records were written to for the last time.
    """

    folder: Path
    history: RunHistory
    space: SearchSpace
    notice: str | None
    written: datetime


def read_run(folder: Path) -> RunRead:
    """Reads a run folder: finished, still being written, or left by a search that was killed.

    Raises:
        RunFolderError: The folder holds no run.
        FormatError: The records have a format or version that this release does not read, or are damaged.
        ConfigError: `search.yaml` was edited and breaks a rule.
    """
    records = folder / RECORDS_FILE
    if not records.is_file():
        raise RunFolderError(
            f"a run must be a folder with {RECORDS_FILE}, but {folder} is not; give the folder that a search wrote"
        )
    read = read_records(records)
    if not read.records or not isinstance(read.records[0], RunStarted):
        raise FormatError(
            f"records must begin with the start of a run, but {records} does not; wait, or restore it from a copy"
        )
    try:
        history = RunHistory(read.records)
    except (KeyError, ValueError) as error:
        raise FormatError(
            f"records must follow from those before them, but in {records} they do not ({error}); "
            "restore the file from a copy"
        ) from error
    written = datetime.fromtimestamp(records.stat().st_mtime, UTC)
    return RunRead(folder, history, load_space(folder / SEARCH_FILE), read.notice, written)
