"""A host: the process that owns one device and trains lanes on it. Ray makes an actor of it; nothing here knows.

Three kinds of threads: one trains, a few write checkpoints and pictures, and those that Ray calls in only put
commands in and take reports out. So neither a slow disk nor a slow driver ever holds the training up.
"""

import signal
import threading
from collections import deque
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from typing import NamedTuple

import torch

from bmtune.disk_space import Patience
from bmtune.search.carrying import Files
from bmtune.search.packs import Packing
from bmtune.search.rounds import Command
from bmtune.search.rounds import Confirm
from bmtune.search.rounds import Rounds
from bmtune.search.rounds import Told
from bmtune.search.trial_run import MakeTraining
from bmtune.search.trial_run import guarded

WRITERS = 4
"""Threads that write; a disk that must confirm each write serves several at a time as fast as one."""


class Heard(NamedTuple):
    """What the driver hears of a lane.

    Attributes:
        lane: Its number.
        report: A `TrialReport` as JSON, or None.
        waits: Whether the lane trains on only when it is told to.
        trained: Whether it has trained here.
        stopped: Whether the lane was given back.
        lost: Why the lane is no more, though its trial may go on; or None.
        leaves: Whether it is no more because its machine is about to leave.
        files: What the report speaks of, where this machine does not see the run folder.
    """

    lane: int
    report: str | None
    waits: bool
    trained: bool
    stopped: bool
    lost: str | None = None
    leaves: bool = False
    files: Files = ()


class Said(NamedTuple):
    """What a host says to the user."""

    text: str


class Host:
    """Trains lanes in rounds, in a thread of its own, until its process ends."""

    def __init__(self, make: MakeTraining, packing: Packing[Any], threads: int) -> None:
        """Begins at once.

        Args:
            make: Makes the training of a trial.
            packing: How trainings share one program.
            threads: Processors that this host may use.
        """
        self._rounds = Rounds(make, packing, self._post)
        self._threads = threads
        self._changed = threading.Condition()
        self._commands: dict[int, Command] = {}
        self._next_command = 0
        self._confirmed: list[Confirm] = []
        self._heard: deque[Heard | Said] = deque()
        self._patience = Patience(self._say)
        self._without_room: set[int] = set()
        self._error: BaseException | None = None
        self._writers = [ThreadPoolExecutor(1, thread_name_prefix="writer") for _ in range(WRITERS)]
        if threading.current_thread() is threading.main_thread():
            # Ctrl-C is the driver's: it ends the search in good order.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._work, name="training", daemon=True).start()

    def memory(self) -> int | None:
        """Bytes of this host's GPU; None without one."""
        return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else None

    def tell(self, first: int, commands: Sequence[Command]) -> None:
        """Takes commands, numbered from `first`; they are carried out in the order of their numbers."""
        with self._changed:
            self._commands |= dict(enumerate(commands, start=first))
            self._changed.notify_all()

    def hear(self, confirmed: Mapping[int, int], patience_s: float) -> list[Heard | Said]:
        """Everything that is there to be heard; waits for something, but not longer than `patience_s`.

        Args:
            confirmed: Reports by lane that the records hold by now, since the last call.
            patience_s: Seconds after which nothing is the answer.

        Raises:
            Exception: The host trains no more, and this is why.
        """
        with self._changed:
            self._confirmed += [Confirm(lane, reports) for lane, reports in confirmed.items()]
            self._changed.wait_for(lambda: self._heard or self._error, patience_s)
            if self._error is not None:
                raise self._error
            heard = list(self._heard)
            self._heard.clear()
        return heard

    def _work(self) -> None:
        # The number belongs to the thread that sets it.
        torch.set_num_threads(self._threads)
        try:
            while True:
                self._take_commands(wait=not self._rounds.has_work)
                self._wait_for_room()
                self._rounds.round(self._take_commands)
        except Exception as error:
            self._give_up(error)

    def _take_commands(self, *, wait: bool = False) -> None:
        """Carries out the commands that are there; with `wait`, not before there is one."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._next_command in self._commands)
            commands: list[Command] = [*self._confirmed]
            self._confirmed.clear()
            while self._next_command in self._commands:
                commands.append(self._commands.pop(self._next_command))
                self._next_command += 1
        for command in commands:
            self._rounds.apply(command)

    def _wait_for_room(self) -> None:
        """Trains no further while a writer meets a full disk; commands are taken all the same."""
        while self._without_room:
            self._take_commands()
            with self._changed:
                self._changed.wait_for(lambda: not self._without_room or self._next_command in self._commands)

    def _say(self, text: str) -> None:
        """Says that a writer begins or ends to wait for room; of all that wait at once, the first and last one do."""
        writer = threading.get_ident()
        with self._changed:
            others = self._without_room - {writer}
            self._without_room ^= {writer}
            if not others:
                self._heard.append(Said(text))
            self._changed.notify_all()

    def _post(self, told: Told) -> None:
        """Passes on what a lane tells; one writer serves all of a lane, so that its reports keep their order."""
        self._writers[told.lane % WRITERS].submit(self._deliver, told).add_done_callback(self._check)

    def _deliver(self, told: Told) -> None:
        due = told.due
        nothing = Heard(
            told.lane, None, waits=False, trained=False, stopped=told.stopped, lost=told.lost, leaves=told.leaves
        )
        heard = nothing
        if due is not None:
            report = guarded(partial(due.carry_out, self._patience))
            files = told.files_of(report) if told.files_of is not None else ()
            heard = nothing._replace(files=files)
            # What a lane tells that is lost lies in its checkpoint as well: whoever goes on from there tells it.
            if not told.leaves:
                text = report.model_dump_json()
                heard = heard._replace(report=text, waits=due.waits, trained=due.trained)
        with self._changed:
            self._without_room.discard(threading.get_ident())
            self._heard.append(heard)
            self._changed.notify_all()

    def _check(self, done: Future[None]) -> None:
        error = done.exception()
        if error is not None:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """Lets the driver know: it ends this process and trains the lanes elsewhere."""
        with self._changed:
            self._error = error
            self._changed.notify_all()
