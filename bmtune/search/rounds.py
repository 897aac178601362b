"""The lanes of a host and their rounds: one epoch for every lane that may go on, pack by pack. No Ray, no threads."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from typing import NamedTuple

from bmtune.packing import ran_out
from bmtune.records import PretrainingShared
from bmtune.search.carrying import Apart
from bmtune.search.carrying import Files
from bmtune.search.packs import Packing
from bmtune.search.packs import Packs
from bmtune.search.pre_cache import PreCache
from bmtune.search.pre_cache import PreShare
from bmtune.search.trial_run import Clock
from bmtune.search.trial_run import DueReport
from bmtune.search.trial_run import MakeTraining
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import Training
from bmtune.search.trial_run import TrialLog
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import failed_end
from bmtune.search.trial_run import make_training
from bmtune.training import EpochReport

BEST_EVERY_S = 3.0
"""Least seconds between two checkpoints of a lane's best cores, except at a rung and at the end."""


class Start(NamedTuple):
    """A trial takes a lane; `task` is a `Task` as JSON.

    Where this machine does not see the run folder, `files` are what the trial goes on from; else None.
    """

    lane: int
    task: str
    files: Files | None = None


class GoOn(NamedTuple):
    """A lane that waits at a rung trains on."""

    lane: int


class Stop(NamedTuple):
    """A lane is given back; what it has still to tell is told."""

    lane: int


class Leave(NamedTuple):
    """A lane writes what its trial needs to go on elsewhere, and is given up: this machine is about to go."""

    lane: int


class Confirm(NamedTuple):
    """So many reports of a lane have reached the records."""

    lane: int
    reports: int


Command = Start | GoOn | Stop | Leave | Confirm

LEAVING = "its machine is about to leave the cluster"


class Told(NamedTuple):
    """What a lane tells: a report, or that it was given back (then the report is its last one, if any), or lost."""

    lane: int
    due: DueReport | None
    stopped: bool = False
    lost: str | None = None
    """Why the lane is no more, though its trial may go on from its last checkpoint in another one."""
    leaves: bool = False
    """Whether that is because this machine is about to go."""
    files_of: Callable[[TrialReport], Files] | None = None
    """Reads what has to go with the report, once it is written; None: it is in the run folder."""


@dataclass
class _Lane:
    number: int
    log: TrialLog
    training: Training
    share: PreShare | None = None
    asks: bool = False
    idle: bool = False
    files_of: Callable[[TrialReport], Files] | None = None


class Rounds:
    """Lanes, advanced together as far as each may go.

    A lane trains ahead without being asked until it reaches a rung or its end; then it waits for `GoOn` or `Stop`.
    Commands are taken between two packs, so that a lane that is free is filled again within one epoch of a pack.
    """

    def __init__(
        self, make: MakeTraining, packing: Packing[Any], tell: Callable[[Told], None], clock: Clock = time.monotonic
    ) -> None:
        """A host without lanes.

        Args:
            make: Makes the training of a trial.
            packing: How trainings share one program.
            tell: Takes what lanes tell; it must not wait.
            clock: Seconds that never run backwards.
        """
        self._make = make
        self._packs = Packs(packing)
        self._tell = tell
        self._clock = clock
        self._lanes: dict[int, _Lane] = {}
        self._caches: dict[str, PreCache] = {}
        self._apart: Apart | None = None

    @property
    def has_work(self) -> bool:
        """Whether a lane could be advanced now."""
        return any(not lane.idle for lane in self._lanes.values())

    def _begun(self, lane: _Lane) -> bool:
        """Whether a lane has begun to train; one whose pre-training another lane does for it waits."""
        if lane.asks and lane.share is not None:
            try:
                begun = lane.share.begin()
            except Exception as error:
                self._fail(lane.number, error)
                return False
            lane.asks = begun == "wait"
            lane.log.begin(lane.share.take_notices())
            if isinstance(begun, PretrainingShared):
                lane.log.take_shared(begun, lane.share.take_pictures())
        return not lane.asks

    def apply(self, command: Command) -> None:
        """Takes a command; one for a lane that has gone is void."""
        lane = self._lanes.get(command.lane)
        match command:
            case Start():
                self._start(command)
            case Stop():
                self._stop(command.lane)
            case Leave() if lane is not None:
                self._leave(lane)
            case GoOn() if lane is not None:
                lane.idle = False
            case Confirm() if lane is not None:
                for _ in range(command.reports):
                    lane.log.confirm()

    def round(self, between: Callable[[], None]) -> None:
        """One epoch of every lane that does not wait.

        Args:
            between: Called before each pack, to apply the commands that came meanwhile.
        """
        ready = [lane for lane in list(self._lanes.values()) if not lane.idle and self._begun(lane)]
        working = {id(lane.training): lane for lane in ready}
        for pack in self._packs.group([lane.training for lane in working.values()]):
            between()
            # A lane that was stopped meanwhile has left; one that was started meanwhile joins the next round.
            members = [working[id(training)] for training in pack if working[id(training)].number in self._lanes]
            if members:
                self._advance(members)

    def _advance(self, members: list[_Lane]) -> None:
        for lane, entry in zip(members, self._packs.advance([lane.training for lane in members]), strict=True):
            try:
                self._take(lane, entry)
            except Exception as error:
                self._fail(lane.number, error)

    def _take(self, lane: _Lane, entry: EpochReport | Exception) -> None:
        if isinstance(entry, Exception):
            raise entry
        if lane.share is not None:
            lane.share.after_epoch()
            lane.log.begin(lane.share.take_notices())
        due = lane.log.take(lane.training, entry)
        if due is not None:
            self._say(lane, due)

    def _say(self, lane: _Lane, due: DueReport) -> None:
        lane.idle = due.waits or due.end is not None
        self._tell(Told(lane.number, due, files_of=lane.files_of))

    def _start(self, command: Start) -> None:
        try:
            task = Task.model_validate_json(command.task)
            if command.files is not None:
                self._apart = self._apart or Apart()
                task = self._apart.take(task, command.files)
            start = task.start()
            log = TrialLog(task, start, self._clock, BEST_EVERY_S)
            lane = _Lane(command.lane, log, make_training(self._make, task, start.saved))
            if self._apart is not None and command.files is not None:
                lane.files_of = partial(self._apart.files_of, task)
            if task.pre_cache is not None:
                cache = self._caches.setdefault(task.pre_cache, PreCache(Path(task.pre_cache)))
                lane.share, lane.asks = task.share(cache, lane.training), True
        except Exception as error:
            self._fail(command.lane, error)
            return
        self._lanes[command.lane] = lane
        due = log.resume()
        if due is not None:
            self._say(lane, due)

    def _stop(self, number: int) -> None:
        lane = self._lanes.pop(number, None)
        if lane is not None and lane.share is not None:
            lane.share.leave()
        due = None if lane is None else lane.log.close(lane.training)
        self._tell(Told(number, due, stopped=True, files_of=lane.files_of if lane is not None else None))

    def _leave(self, lane: _Lane) -> None:
        del self._lanes[lane.number]
        if lane.share is not None:
            lane.share.leave()
        due = lane.log.close(lane.training)
        self._tell(Told(lane.number, due, lost=LEAVING, leaves=True, files_of=lane.files_of))

    def _fail(self, number: int, error: Exception) -> None:
        lane = self._lanes.pop(number, None)
        if lane is not None and lane.share is not None:
            lane.share.leave()
        end = failed_end(error)
        # Memory that is not there now may be there again when others, also of other programs, have let go of theirs.
        self._tell(Told(number, None, lost=end.reason) if ran_out(error) else Told(number, DueReport(end=end)))
