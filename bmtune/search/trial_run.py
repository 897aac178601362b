"""One trial being trained in this process, from report to report; no Ray, no Optuna."""

import time
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Protocol

from pydantic import BaseModel
from pydantic import ConfigDict
from torch import Tensor

from bmtune.checkpoints import has_checkpoint
from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.root import TrialConfig
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import PretrainingShared
from bmtune.search.pre_cache import PreCache
from bmtune.search.pre_cache import PreShare
from bmtune.search.pre_cache import Pretraining
from bmtune.tracking import picture_path
from bmtune.training import EpochReport
from bmtune.training import Status

Saved = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and facts of a checkpoint."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Task(_Message):
    """All that a process must know to train a trial."""

    trial: int
    config: TrialConfig
    run_folder: str
    rungs: tuple[int, ...]
    report_every_s: float
    threads: int = 1
    device: str = "cpu"
    pre_cache: str | None = None
    """Folder of results of pre-training; None: the trial neither takes one nor keeps its own."""

    def checkpoint_path(self, which: Literal["best", "last"]) -> str:
        """Where a checkpoint of this trial lies, relative to the run folder."""
        return f"checkpoints/trial-{self.trial:05d}/{which}"


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


class TrialRun:
    """A trial that is trained as far as its next rung, its end or the next report."""

    def __init__(self, task: Task, make_training: MakeTraining, clock: Callable[[], float] = time.monotonic) -> None:
        """Goes on from the trial's last checkpoint, where there is one."""
        self._task = task
        self._clock = clock
        folder = Path(task.run_folder, task.checkpoint_path("last"))
        saved = read_checkpoint(folder) if has_checkpoint(folder) else None
        self._ended = Status[saved[1]["end"]] if saved and saved[1].get("end") else None
        self._training = make_training(task.config, task.device, (saved[0], saved[1]["training"]) if saved else None)
        self._budget: int = saved[1]["budget"] if saved else 0
        self._best_saved: int | None = None
        self._reported = False
        # A cache of its own: a trial that is alone in its process waits for nobody.
        self._cache = PreCache(Path(task.pre_cache)) if task.pre_cache is not None and self._ended is None else None
        self._share = (
            PreShare(self._cache, Path(task.run_folder).name, task.trial, self._training) if self._cache else None
        )
        begun = self._share.begin() if self._share else "train"
        self._shared = begun if isinstance(begun, PretrainingShared) else None

    def next_report(self) -> TrialReport:
        """Trains until a report is due.

        A report is due at a rung, at the end, after the very first epoch and `report_every_s` seconds after this call.
        """
        if self._ended is not None:
            return TrialReport(end=_end_of(self._ended))
        began, epochs = self._clock(), list[Epoch]()
        while True:
            report = self._training.advance()
            if self._share is not None:
                self._share.after_epoch()
            self._keep_pictures(report)
            at_rung = report.budget > self._budget and report.budget in self._task.rungs
            self._budget = report.budget
            epochs.append(_to_record(self._task.trial, report))
            due = not self._reported or self._clock() - began >= self._task.report_every_s
            if at_rung or due or report.status.ended:
                break
        self._reported = True
        checkpoints = self._save(report, whole=at_rung or report.status.ended)
        end = _end_of(report.status) if report.status.ended else None
        shared, self._shared = self._shared, None
        notices = tuple(self._cache.take_notices()) if self._cache else ()
        return TrialReport(notices=notices, shared=shared, epochs=tuple(epochs), checkpoints=checkpoints, end=end)

    def _keep_pictures(self, report: EpochReport) -> None:
        """Writes the pictures of an epoch beside the checkpoints, before its record speaks of that epoch."""
        for name, png in report.pictures.items():
            path = Path(self._task.run_folder, picture_path(self._task.trial, report.phase, report.epoch, name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png)

    def _save(self, report: EpochReport, *, whole: bool) -> tuple[CheckpointWritten, ...]:
        """Writes the best cores where they changed and, with `whole`, all that is needed to go on."""
        written: list[CheckpointWritten] = []
        if report.best_epoch is not None and report.best_epoch != self._best_saved:
            facts = {
                "trial": self._task.trial,
                "config": self._task.config.model_dump(mode="json"),
                "epoch": report.best_epoch,
                "metrics": report.best_metrics,
            }
            written.append(self._write("best", self._training.best(), facts))
            self._best_saved = report.best_epoch
        if whole:
            tensors, training = self._training.last()
            ended = report.status.name if report.status.ended else None
            facts = {"trial": self._task.trial, "budget": self._budget, "end": ended, "training": training}
            written.append(self._write("last", tensors, facts))
        return tuple(written)

    def _write(
        self, which: Literal["best", "last"], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> CheckpointWritten:
        path = self._task.checkpoint_path(which)
        write_checkpoint(Path(self._task.run_folder, path), tensors, facts)
        return CheckpointWritten(trial=self._task.trial, which=which, budget=self._budget, path=path)


def guarded(work: Callable[[], TrialReport]) -> TrialReport:
    """`work`'s report, or that it raised: the one boundary at which a trial's exception becomes data."""
    try:
        return work()
    except Exception as error:
        text = str(error).split("\n")[0]
        reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return TrialReport(end=TrialEnd(status="failed", reason=reason, error=traceback.format_exc()))


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
