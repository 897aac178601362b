"""Trains the pairs of configuration and seed of a confirmation as lanes of hosts, without Tune: nothing is decided."""

import time
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from bmtune.confirmation.records import TrainingEnded
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.search.fleet import Fleet
from bmtune.search.fleet import Lost
from bmtune.search.host import Heard
from bmtune.search.host import Said
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

FOLDER = "confirmation"
"""Where checkpoints of a confirmation lie, in the run folder."""

HEAR_S = 1.0
"""Seconds between two looks at what was told."""

SUSPECT_AFTER = 2
"""Hosts that ended with a training until it is taken for the reason."""


class Pair(NamedTuple):
    """A configuration and a seed.

    Attributes:
        trial: The trial that has the configuration.
        seed: The seed.
    """

    trial: int
    seed: int


def folder_of(seed: int) -> str:
    """Where the trainings with a seed leave their checkpoints, relative to the run folder."""
    return f"{FOLDER}/seed-{seed}"


@dataclass
class _Course:
    """A training as far as it has told."""

    pair: Pair
    task: Task
    told: dict[tuple[str, int], float] = field(default_factory=dict)
    latest: Epoch | None = None
    losses: int = 0


class PairTraining:
    """Trains pairs until each has ended."""

    def __init__(
        self,
        fleet: Fleet,
        objective: Objective,
        max_failures: int,
        ended: Callable[[TrainingEnded], None],
        advanced: Callable[[int], None],
    ) -> None:
        """A confirmation before its first training.

        Args:
            fleet: The hosts.
            objective: What is measured of each training.
            max_failures: How often a training goes on after its process was lost.
            ended: Takes the end of each training.
            advanced: Hears of main-phase epochs, by their number.
        """
        self._fleet = fleet
        self._objective = objective
        self._max_failures = max_failures
        self._ended = ended
        self._advanced = advanced
        self._waiting: deque[_Course] = deque()
        self._placed: dict[int, _Course] = {}

    def train(self, tasks: Mapping[Pair, Task]) -> None:
        """Trains all of them; pairs of one seed follow one another, so that hosts load each split once."""
        self._waiting.extend(_Course(pair, task) for pair, task in tasks.items())
        while self._waiting or self._placed:
            self._place()
            for heard in self._fleet.hear(HEAR_S):
                # A host says that it waits for room on a full disk; the follower only takes numbers, which stand still.
                if not isinstance(heard, Said):
                    self._take(heard)

    def _place(self) -> None:
        if self._waiting:
            # Hosts that were lost are started anew.
            self._fleet.ask_for(len(self._waiting) + len(self._placed))
        for _ in range(len(self._waiting)):
            course = self._waiting.popleft()
            lane = self._fleet.place(course.task.model_dump_json(), suspect=course.losses >= SUSPECT_AFTER)
            if lane is None:
                self._waiting.append(course)
            else:
                self._placed[lane] = course

    def _take(self, heard: Heard | Lost) -> None:
        course = self._placed.get(heard.lane)
        if course is None:
            # A lane that was given back.
            return
        if isinstance(heard, Lost):
            self._lose(heard, self._placed.pop(heard.lane))
        elif heard.report is not None:
            self._fleet.confirm(heard.lane)
            self._report(heard.lane, course, TrialReport.model_validate_json(heard.report))

    def _lose(self, lost: Lost, course: _Course) -> None:
        course.losses += lost.blamed
        if course.losses > self._max_failures:
            reason = f"its process was lost {course.losses} times"
            self._ended(self._end(course, TrialEnd(status="failed", reason=reason, error=str(lost.error))))
        else:
            self._waiting.append(course)

    def _report(self, lane: int, course: _Course, report: TrialReport) -> None:
        before = course.latest.budget if course.latest else 0
        for epoch in report.epochs:
            # One that went on from a checkpoint tells again what may not have been heard.
            course.told[epoch.phase, epoch.epoch] = epoch.seconds
            course.latest = epoch
        if course.latest is not None and course.latest.budget > before:
            self._advanced(course.latest.budget - before)
        if report.end is not None:
            self._fleet.stop(lane)
            del self._placed[lane]
            self._ended(self._end(course, report.end))

    def _end(self, course: _Course, end: TrialEnd) -> TrainingEnded:
        latest, status, reason = course.latest, end.status, end.reason
        metrics = latest.best_metrics if latest else None
        if status == "completed" and metrics is None:
            status, reason = "failed", f"no epoch could be the best: {reason}"
        whole = status == "completed"
        path = f"{folder_of(course.pair.seed)}/{course.task.checkpoint_path('best')}"
        return TrainingEnded(
            trial=course.pair.trial,
            seed=course.pair.seed,
            status=status,
            reason=reason,
            value=metrics[self._objective.metric] if whole and metrics else None,
            epoch=latest.best_epoch if whole and latest else None,
            metrics=metrics if whole else None,
            checkpoint=path if whole else None,
            epochs=len(course.told),
            seconds=sum(course.told.values()),
            error=end.error,
            time=time.time(),
        )
