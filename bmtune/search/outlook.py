"""What a search may use of its cluster, looked at again while it runs: machines join and leave."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace

from bmtune.config.space_model import RunSettings
from bmtune.search.plan import HostPlan
from bmtune.search.plan import plan_hosts
from bmtune.search.room import Machines
from bmtune.search.room import check_room
from bmtune.search.room import need_of_host
from bmtune.search.room import need_of_trial
from bmtune.search.room import room_most
from bmtune.search.room import room_now

EVERY_S = 2.0
"""Seconds between two looks; one costs a millisecond or two."""

Look = Callable[[], Machines]
Clock = Callable[[], float]


def settled(run: RunSettings, machines: Machines) -> RunSettings:
    """The settings with `gpus_per_trial: auto` decided: a whole GPU for each host where there are GPUs, else none.

    How many trials share it, and how many of them are one program, is measured: see `packing/width.py`.
    """
    if run.gpus_per_trial != "auto":
        return run
    has = any(machine.resources.get("GPU", 0) >= 1 for machine in (*machines.here, *machines.kinds))
    return run.model_copy(update={"gpus_per_trial": 1.0 if has else 0.0})


@dataclass(frozen=True)
class Seen:
    """What one look has found.

    Attributes:
        plan: How the search is spread over hosts now.
        leaving: Ids of machines that are about to leave.
        waiting: Why nothing can be trained now, in words; None where something can.
    """

    plan: HostPlan
    leaving: frozenset[str] = frozenset()
    waiting: str | None = None


class Outlook:
    """Looks at the cluster, but not more often than every few seconds."""

    def __init__(self, run: RunSettings, trials: int, look: Look, clock: Clock = time.monotonic) -> None:
        """Looks for the first time.

        Args:
            run: Settings.
            trials: Trials in all.
            look: Finds the machines.
            clock: Seconds that never run backwards.

        Raises:
            ResourceError: One trial fits on no machine that is there or may come.
        """
        self._look = look
        self._clock = clock
        self._trials = trials
        machines = look()
        self.run = settled(run, machines)
        self._need = need_of_trial(self.run) if self.run.pack == 1 else need_of_host(self.run)
        self._seen = replace(self._told(machines), waiting=check_room(machines, self._need, need_of_trial(self.run)))
        self._at = clock()

    @property
    def seen(self) -> Seen:
        """What is there now, as far as it is known."""
        return self._seen

    def look_again(self) -> Seen:
        """What is there now, or was a moment ago."""
        now = self._clock()
        if now - self._at >= EVERY_S:
            self._at, self._seen = now, self._told(self._look())
        return self._seen

    def concurrent(self) -> int:
        """Trials at once."""
        return self.look_again().plan.concurrent

    def _told(self, machines: Machines) -> Seen:
        now, most = room_now(machines, self._need), room_most(machines, self._need)
        waiting = None if now else "no machine of the cluster has room for a trial: the search waits for one"
        if self.run.pack != 1:
            return Seen(plan_hosts(self.run, self._trials, now, most), machines.leaving, waiting)
        at_once = min(max(1, now), self.run.max_concurrent or self._trials, self._trials)
        return Seen(HostPlan(at_once, 1, at_once, self.run.cpus_per_trial, 0), machines.leaving, waiting)
