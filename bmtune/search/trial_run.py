"""One trial being trained in this process: what it has to tell, when, and what lies on the disk by then.

No Ray, no Optuna. A `TrialLog` is fed every epoch of a trial, whoever trains it.
"""

import traceback
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Protocol

from pydantic import BaseModel
from pydantic import ConfigDict
from torch import Tensor

from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.root import TrialConfig
from bmtune.disk_space import Patience
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import PretrainingShared
from bmtune.redaction import redacted
from bmtune.search.pre_cache import PreCache
from bmtune.search.pre_cache import PreShare
from bmtune.search.pre_cache import Pretraining
from bmtune.search.trial_start import Saved
from bmtune.search.trial_start import Start
from bmtune.search.trial_start import start_of
from bmtune.tracking import picture_path
from bmtune.training import EpochReport
from bmtune.training import Status

Which = Literal["best", "last"]
"""The two checkpoints of a trial: the cores of its best epoch, and all that is needed to go on."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def checkpoint_path(trial: int, which: Which) -> str:
    """Where a checkpoint of a trial lies, relative to the run folder."""
    return f"checkpoints/trial-{trial:05d}/{which}"


class Task(_Message):
    """All that a process must know to train a trial."""

    trial: int
    config: TrialConfig
    run_folder: str
    rungs: tuple[int, ...]
    report_every_s: float
    checkpoint_every: int = 10
    threads: int = 1
    device: str = "cpu"
    pre_cache: str | None = None
    """Folder of results of pre-training; None: the trial neither takes one nor keeps its own."""

    def share(self, cache: PreCache, training: Pretraining) -> PreShare:
        """The trial's part in a cache of pre-training."""
        return PreShare(cache, Path(self.run_folder).name, self.trial, training)

    def checkpoint_path(self, which: Which) -> str:
        """Where a checkpoint of this trial lies, relative to the run folder."""
        return checkpoint_path(self.trial, which)

    def start(self) -> Start:
        """Where the trial begins in this process."""
        last, best = (Path(self.run_folder, self.checkpoint_path(which)) for which in ("last", "best"))
        return start_of(self.trial, last, best)


class TrialEnd(_Message):
    """How a trial ended by itself."""

    status: Literal["completed", "failed"]
    reason: str
    error: str | None = None


class TrialReport(_Message):
    """What happened since the last report."""

    notices: tuple[str, ...] = ()
    shared: PretrainingShared | None = None
    epochs: tuple[Epoch, ...] = ()
    checkpoints: tuple[CheckpointWritten, ...] = ()
    end: TrialEnd | None = None


class Training(Pretraining, Protocol):
    """A trial's training as this module needs it."""

    def advance(self) -> EpochReport:
        """Trains one epoch."""
        ...

    def last(self) -> Saved:
        """All that is needed to go on later."""
        ...

    def best(self) -> dict[str, Tensor]:
        """The cores of the best main epoch, which exists."""
        ...


MakeTraining = Callable[[TrialConfig, str, Saved | None], Training]
"""(configuration, device, checkpoint to go on from) -> training."""


Clock = Callable[[], float]

Write = Callable[[], CheckpointWritten | None]
"""Puts something on the disk; a checkpoint is told of, a picture is not."""

CHECKPOINT_PAUSE_S = 5.0
"""Least seconds between two checkpoints of a trial that is neither at a rung nor at its end."""


@dataclass(frozen=True)
class DueReport:
    """A report that may go out as soon as its files are written.

    Attributes:
        epochs: What happened since the last one.
        writes: What must lie on the disk before.
        end: How the trial ended, or None.
        waits: Whether the trial stands at a rung and trains on only when it is told to.
        trained: Whether it trained for this report, and does not only tell again what a checkpoint holds.
        shared: What the trial took over from another one, if it did so since the last report.
        notices: What the user should know.
        place: The run folder.
    """

    epochs: tuple[Epoch, ...] = ()
    writes: tuple[Write, ...] = ()
    end: TrialEnd | None = None
    waits: bool = False
    trained: bool = True
    shared: PretrainingShared | None = None
    notices: tuple[str, ...] = ()
    place: str = "."

    def carry_out(self, patience: Patience | None = None) -> TrialReport:
        """Writes the files and returns the report.

        Args:
            patience: How a full disk is waited for; None: it is an error, after which this may be called again.
        """
        if patience is None:
            written = [write() for write in self.writes]
        else:
            what, place = "checkpoints of trials", Path(self.place)
            written = [patience.wait_for_room(write, what, place) for write in self.writes]
        checkpoints = tuple(entry for entry in written if entry is not None)
        return TrialReport(
            notices=self.notices, shared=self.shared, epochs=self.epochs, checkpoints=checkpoints, end=self.end
        )


class TrialLog:
    """Takes every epoch of a trial, and says when a report is due and what must be written before it goes out.

    A report is due after the first epoch, at a rung, at the end, with a checkpoint, and otherwise `report_every_s`
    seconds after the last one. Epochs that may not have reached the records travel with the checkpoint: where the
    process is lost after it, whoever goes on from there tells of them again.
    """

    def __init__(self, task: Task, start: Start, clock: Clock, best_every_s: float = 0.0) -> None:
        """A log that goes on from a checkpoint, where there is one.

        Args:
            task: What is trained.
            start: Where the trial begins.
            clock: Seconds that never run backwards.
            best_every_s: Least seconds between two checkpoints of the best cores, except at a rung and at the end.
        """
        facts: Mapping[str, Any] = start.saved[1] if start.saved else {}
        self._task = task
        self._clock = clock
        self._best_every_s = best_every_s
        self._budget: int = facts.get("budget", 0)
        # The latest epoch of each phase: whoever goes on from a checkpoint can tell whether the records hold all of it.
        self._epochs: dict[str, int] = dict(facts.get("epochs", {}))
        self._resumed = TrialReport.model_validate_json(facts["untold"]) if facts.get("untold") else None
        self._untold: list[Epoch] = []
        self._unwritten: list[Write] = []
        self._unconfirmed: deque[TrialReport] = deque()
        self._shared: PretrainingShared | None = None
        self._notices = start.notices
        self._latest: EpochReport | None = None
        # A trial that goes on from an older checkpoint has had better cores than it finds next: they stay.
        self._best_saved = start.best_epoch or 0
        self._told_at: float | None = None
        self._best_at = self._last_at = clock()
        self._epochs_since = 0

    def resume(self) -> DueReport | None:
        """What a checkpoint has to tell before training goes on: its epochs, and the end where it was one."""
        report, self._resumed = self._resumed, None
        if report is None:
            return None
        self._unconfirmed.append(report)
        kept = tuple(partial(self._existing, which) for which in ("best", "last"))
        waits = self._budget in self._task.rungs
        notices, self._notices = self._notices, ()
        return DueReport(
            report.epochs,
            kept,
            report.end,
            waits,
            trained=False,
            shared=report.shared,
            notices=notices,
            place=self._task.run_folder,
        )

    def begin(self, notices: Sequence[str]) -> None:
        """Notices that the next report tells of."""
        self._notices = (*self._notices, *notices)

    def take_shared(self, shared: PretrainingShared, pictures: Mapping[str, bytes]) -> None:
        """That pre-training came from another trial, which the next report tells of, and pictures of what came."""
        self._shared = shared
        self._unwritten += self._pictures("pre", shared.epochs, pictures)

    def take(self, training: Training, report: EpochReport) -> DueReport | None:
        """Takes an epoch that `training` has just finished; the report that is due now, if any."""
        now, ended = self._clock(), report.status.ended
        at_rung = report.budget > self._budget and report.budget in self._task.rungs
        self._budget, self._latest = report.budget, report
        self._epochs[report.phase] = report.epoch
        self._untold.append(_to_record(self._task.trial, report))
        self._epochs_since += 1
        whole = at_rung or ended or self._checkpoint_is_due(now)
        self._unwritten += self._pictures(report.phase, report.epoch, report.pictures)
        if not whole and self._told_at is not None and now - self._told_at < self._task.report_every_s:
            return None
        self._told_at = now
        end = _end_of(report.status) if ended else None
        return self._due(training, now, whole=whole, end=end, waits=at_rung and not ended)

    def confirm(self) -> None:
        """The oldest report that was not confirmed yet is in the records."""
        if self._unconfirmed:
            self._unconfirmed.popleft()

    def close(self, training: Training) -> DueReport | None:
        """What is left to tell and to write when training is broken off; None where nothing is."""
        if self._latest is None or self._latest.status.ended or not self._epochs_since:
            return None
        return self._due(training, self._clock(), whole=True)

    def _checkpoint_is_due(self, now: float) -> bool:
        return self._epochs_since >= self._task.checkpoint_every and now - self._last_at >= CHECKPOINT_PAUSE_S

    def _due(
        self,
        training: Training,
        now: float,
        *,
        whole: bool,
        end: TrialEnd | None = None,
        waits: bool = False,
    ) -> DueReport:
        """A report of all that is untold, with the best cores and, with `whole`, all that is needed to go on."""
        assert self._latest is not None, "a report follows an epoch"
        epochs, self._untold = tuple(self._untold), []
        shared, self._shared = self._shared, None
        notices, self._notices = self._notices, ()
        self._unconfirmed.append(TrialReport(shared=shared, epochs=epochs))
        writes, self._unwritten = self._unwritten, []
        improved = (self._latest.best_epoch or 0) > self._best_saved
        if improved and (whole or now - self._best_at >= self._best_every_s):
            writes.append(self._best(training, self._latest))
            self._best_at = now
        if whole:
            writes.append(self._last(training, end))
            self._last_at, self._epochs_since = now, 0
        place = self._task.run_folder
        return DueReport(epochs, tuple(writes), end, waits, shared=shared, notices=notices, place=place)

    def _pictures(self, phase: str, epoch: int, pictures: Mapping[str, bytes]) -> list[Write]:
        """Pictures lie beside the checkpoints, before the record of their epoch speaks of it."""
        folder, trial = self._task.run_folder, self._task.trial
        return [
            partial(_write_picture, Path(folder, picture_path(trial, phase, epoch, name)), png)
            for name, png in pictures.items()
        ]

    def _best(self, training: Training, report: EpochReport) -> Write:
        assert report.best_epoch is not None, "a best epoch was reported"
        self._best_saved = report.best_epoch
        facts = {
            "trial": self._task.trial,
            "config": self._task.config.model_dump(mode="json"),
            "epoch": report.best_epoch,
            "metrics": report.best_metrics,
        }
        return partial(self._write, "best", self._budget, training.best(), facts)

    def _last(self, training: Training, end: TrialEnd | None) -> Write:
        tensors, facts = training.last()
        epochs = tuple(epoch for report in self._unconfirmed for epoch in report.epochs)
        shared = next((report.shared for report in self._unconfirmed if report.shared is not None), None)
        untold = TrialReport(shared=shared, epochs=epochs, end=end)
        facts = {
            "trial": self._task.trial,
            "budget": self._budget,
            "epochs": dict(self._epochs),
            "untold": untold.model_dump_json(),
            "training": facts,
        }
        return partial(self._write, "last", self._budget, tensors, facts)

    def _write(self, which: Which, budget: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Any:
        path = self._task.checkpoint_path(which)
        write_checkpoint(Path(self._task.run_folder, path), tensors, facts, keep_previous=which == "last")
        return CheckpointWritten(trial=self._task.trial, which=which, budget=budget, path=path)

    def _existing(self, which: Which) -> CheckpointWritten | None:
        path = self._task.checkpoint_path(which)
        found = has_checkpoint(Path(self._task.run_folder, path))
        return CheckpointWritten(trial=self._task.trial, which=which, budget=self._budget, path=path) if found else None


def make_training(make: MakeTraining, task: Task, saved: Saved | None) -> Training:
    """The training of a task, new or going on."""
    return make(task.config, task.device, (saved[0], saved[1]["training"]) if saved else None)


def guarded(work: Callable[[], TrialReport]) -> TrialReport:
    """`work`'s report, or that it raised: the one boundary at which a trial's exception becomes data."""
    try:
        return work()
    except Exception as error:
        return TrialReport(end=failed_end(error))


def failed_end(error: Exception) -> TrialEnd:
    """The end of a trial that raised, with its traceback."""
    text = redacted(str(error).split("\n")[0])
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return TrialEnd(status="failed", reason=reason, error=redacted("".join(traceback.format_exception(error))))


def _write_picture(path: Path, png: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)


def _end_of(status: Status) -> TrialEnd:
    return TrialEnd(status="failed" if status is Status.DIVERGED else "completed", reason=status.value)


def _to_record(trial: int, report: EpochReport) -> Epoch:
    return Epoch(
        trial=trial,
        phase=report.phase,
        epoch=report.epoch,
        budget=report.budget,
        metrics=report.metrics,
        seconds=report.seconds,
        eligible=report.eligible,
        best_epoch=report.best_epoch,
        best_metrics=report.best_metrics,
    )
