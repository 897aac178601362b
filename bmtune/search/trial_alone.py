"""A trial that has a process of its own, from report to report. No Ray."""

import time
from collections.abc import Callable
from pathlib import Path

from bmtune.disk_space import EVERY_S
from bmtune.disk_space import free_space
from bmtune.disk_space import is_full
from bmtune.records import PretrainingShared
from bmtune.search.pre_cache import PreCache
from bmtune.search.trial_run import Clock
from bmtune.search.trial_run import DueReport
from bmtune.search.trial_run import MakeTraining
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialLog
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import make_training


class TrialRun:
    """A trial that is trained alone, from report to report.

    Attributes:
        task: What is trained.
    """

    def __init__(
        self,
        task: Task,
        make: MakeTraining,
        clock: Clock = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """Goes on from the trial's last checkpoint, where there is one.

        Args:
            task: What is trained.
            make: Makes its training.
            clock: Seconds that never run backwards.
            rest: Passes so many seconds.
        """
        self.task = task
        start = task.start()
        self._rest = rest
        self._without_room = False
        self._log = TrialLog(task, start, clock)
        self._training = make_training(make, task, start.saved)
        self._due = self._log.resume()
        # A cache of its own: a trial that is alone in its process waits for nobody.
        self._share = task.share(PreCache(Path(task.pre_cache)), self._training) if task.pre_cache is not None else None
        begun = self._share.begin() if self._share else "train"
        if self._share and isinstance(begun, PretrainingShared):
            self._log.take_shared(begun, self._share.take_pictures())

    def next_report(self) -> TrialReport:
        """Trains until a report is due; whoever asks has recorded the one before.

        Where the disk is full, the report says so, or nothing, and the next one is what was due: whoever asks hears of
        it, and can also stop asking.
        """
        if self._without_room:
            self._rest(EVERY_S)
        else:
            self._log.confirm()
        if self._due is None:
            self._due = self._train()
        try:
            report = self._due.carry_out()
        except OSError as error:
            if not is_full(error):
                raise
            return self._wait_for_room()
        waited, self._due, self._without_room = self._without_room, None, False
        if waited:
            text = f"there is room again in {self.task.run_folder}: trial {self.task.trial} goes on"
            report = report.model_copy(update={"notices": (*report.notices, text)})
        return report

    def close(self) -> TrialReport:
        """Writes what the trial needs to go on later; what it had not told yet is told then."""
        due = self._due or self._log.close(self._training)
        return TrialReport() if due is None else due.carry_out()

    def _train(self) -> DueReport:
        due = None
        while due is None:
            report = self._training.advance()
            if self._share is not None:
                self._share.after_epoch()
                self._log.begin(self._share.take_notices())
            due = self._log.take(self._training, report)
        return due

    def _wait_for_room(self) -> TrialReport:
        told, self._without_room = self._without_room, True
        text = (
            f"the disk is full: checkpoints of trial {self.task.trial} cannot be written in {self.task.run_folder} "
            f"({free_space(Path(self.task.run_folder))}); it waits and tries again every {EVERY_S:g} s"
        )
        return TrialReport() if told else TrialReport(notices=(text,))
