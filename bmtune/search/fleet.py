"""The hosts of a search as the driver sees them: started, filled, heard and, where one is lost, replaced."""

import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from itertools import count
from pathlib import Path
from typing import Any
from typing import NamedTuple

import ray
from ray.exceptions import RayActorError

from bmtune.errors import ResourceError
from bmtune.search.carrying import SharedFolder
from bmtune.search.carrying import saved_files
from bmtune.search.host import Heard
from bmtune.search.host import Host
from bmtune.search.host import Said
from bmtune.search.outlook import Seen
from bmtune.search.packs import DeviceLostError
from bmtune.search.packs import Packing
from bmtune.search.plan import HostPlan
from bmtune.search.plan import lanes_by_memory
from bmtune.search.rounds import Command
from bmtune.search.rounds import GoOn
from bmtune.search.rounds import Leave
from bmtune.search.rounds import Start
from bmtune.search.rounds import Stop
from bmtune.search.trial_run import MakeTraining
from bmtune.search.trial_run import Task

PATIENCE_S = 10.0
"""Seconds after which a host that has nothing to tell answers anyway."""

LookAgain = Callable[[], Seen]
"""What a search may use of its cluster, now or a moment ago."""

MOST_FAILED_STARTS = 3
"""Hosts in a row that end before they are ready: then no further one would do better."""


class Whereabouts(NamedTuple):
    """Where a host is.

    Attributes:
        node: Ray's id of the machine.
        memory: Bytes of its GPU; None without one.
    """

    node: str
    memory: int | None


class HostActor(Host):
    """A host that Ray has started."""

    def whereabouts(self) -> Whereabouts:
        """Where it is, as soon as there is an answer at all."""
        return Whereabouts(ray.get_runtime_context().get_node_id(), self.memory())

    def sees(self, path: str) -> bool:
        """Whether a file that the driver has made is there."""
        return Path(path).exists()


class Lost(NamedTuple):
    """A lane went down, mostly with its host.

    Attributes:
        lane: Its number.
        error: What Tune is told.
        blamed: Whether this lane may have been the reason.
    """

    lane: int
    error: RayActorError
    blamed: bool


@dataclass
class _Berth:
    """A host as the driver keeps it."""

    actor: Any
    answer: Any
    where: Whereabouts | None = None
    shares: bool | None = None
    folders: dict[int, Path] = field(default_factory=dict)
    most: int = 0
    leaves: bool = False
    lanes: set[int] = field(default_factory=set)
    leaving: set[int] = field(default_factory=set)
    on_trial: int | None = None
    commands: list[Command] = field(default_factory=list)
    sent: int = 0
    confirmed: Counter[int] = field(default_factory=Counter)

    @property
    def free(self) -> bool:
        return self.shares is not None and not self.leaves and self.taken < self.most

    @property
    def taken(self) -> int:
        return len(self.lanes) - len(self.leaving)

    @property
    def filling(self) -> float:
        return self.taken / self.most


class Fleet:
    """Hosts that are started as lanes are asked for, and lanes that are placed where most are free."""

    def __init__(
        self,
        plan: HostPlan,
        make: MakeTraining,
        packing: Packing[Any],
        look_again: LookAgain | None = None,
        shared: SharedFolder | None = None,
    ) -> None:
        """A fleet without hosts.

        Args:
            plan: How many hosts there may be, and how large they are.
            make: Makes the training of a trial.
            packing: How trainings share one program.
            look_again: Tells when machines have come or are about to leave; None: they stay as they are.
            shared: The run folder, where hosts may be on machines that do not see it; None: all see it.
        """
        self._plan = plan
        self._look_again = look_again
        self._shared = shared
        self._seen: Seen | None = None
        self._arguments = (make, packing, plan.cpus)
        options = {"num_cpus": plan.cpus, "num_gpus": plan.gpus, "resources": dict(plan.resources)}
        self._actor_class = ray.remote(HostActor).options(max_concurrency=4, **options)
        self._berths: list[_Berth] = []
        self._numbers = count()
        self._failed_starts = 0

    def ask_for(self, lanes: int) -> None:
        """Starts hosts until there are enough for so many lanes, or all that there may be.

        Where all that fits is wanted, hosts are asked for too that there is no room for yet: that is what makes a
        cluster grow.
        """
        enough = self._plan.hosts if lanes >= self._plan.concurrent else -(-lanes // self._plan.lanes)
        wanted = min(self._plan.hosts, enough)
        for _ in range(wanted - sum(not berth.leaves for berth in self._berths)):
            actor: Any = self._actor_class.remote(*self._arguments)
            self._berths.append(_Berth(actor, actor.whereabouts.remote()))

    def place(self, task: str, *, suspect: bool = False) -> int | None:
        """Starts a trial in the host that is filled least; the number of its lane, or None where none is free.

        Args:
            task: A `Task` as JSON.
            suspect: Whether the trial may end its host. Of those a host takes one at a time, until it has trained:
                so it is known which one did, and the others are not given up with it.
        """
        free = [berth for berth in self._berths if berth.free]
        if suspect:
            free = [berth for berth in free if berth.on_trial is None]
        if not free:
            return None
        berth = min(free, key=lambda berth: berth.filling)
        lane = next(self._numbers)
        berth.lanes.add(lane)
        if suspect:
            berth.on_trial = lane
        files = None
        if not berth.shares:
            parsed = Task.model_validate_json(task)
            berth.folders[lane] = Path(parsed.run_folder)
            files = saved_files(parsed)
        berth.commands.append(Start(lane, task, files))
        return lane

    def occupied(self) -> tuple[tuple[int, int], ...]:
        """Of each host that is ready: its trials, and the most that it takes. May be asked on any thread."""
        return tuple((berth.taken, berth.most) for berth in tuple(self._berths) if berth.where is not None)

    def go_on(self, lane: int) -> None:
        """Lets a lane train on that waits at a rung."""
        berth = self._at(lane)
        if berth is not None:
            berth.commands.append(GoOn(lane))

    def confirm(self, lane: int) -> None:
        """One more report of a lane is in the records."""
        berth = self._at(lane)
        if berth is not None:
            berth.confirmed[lane] += 1

    def stop(self, lane: int) -> None:
        """Gives a lane back; another trial may be placed there at once."""
        berth = self._at(lane)
        if berth is not None and lane not in berth.leaving:
            berth.leaving.add(lane)
            berth.commands.append(Stop(lane))

    def hear(self, timeout_s: float) -> Iterator[Heard | Lost | Said]:
        """What lanes tell within `timeout_s`: at once where there is something.

        Raises:
            ResourceError: No host can be started.
            Exception: A host trains no more for a reason that no other host would mend.
        """
        yield from self._look_around()
        self._send()
        answers = {berth.answer: berth for berth in self._berths}
        if not answers:
            time.sleep(timeout_s)
            return
        done, _ = ray.wait(list(answers), num_returns=1, timeout=timeout_s)
        if done and len(answers) > 1:
            done, _ = ray.wait(list(answers), num_returns=len(answers), timeout=0)
        for answer in done:
            yield from self._answered(answers[answer])

    def close(self) -> None:
        """Ends all hosts."""
        for berth in self._berths:
            ray.kill(berth.actor)
        self._berths.clear()
        if self._shared is not None:
            self._shared.close()

    def _answered(self, berth: _Berth) -> Iterator[Heard | Lost | Said]:
        try:
            found = ray.get(berth.answer)
        # Exceptions of trials are in their reports, and any other one is a mistake of ours, which ends the search.
        except (RayActorError, DeviceLostError) as error:
            yield from self._replace(berth, error)
            return
        self._failed_starts = 0
        if berth.shares is None:
            self._meet(berth, found)
            return
        self._ask(berth)
        for heard in found:
            yield heard if isinstance(heard, Said) else self._take(berth, heard)
        if berth.leaves and not berth.lanes:
            # Nothing of it is needed any more, and its place may be another's until the machine goes.
            self._berths.remove(berth)
            ray.kill(berth.actor)

    def _meet(self, berth: _Berth, found: Any) -> None:
        """Takes in where a new host is, and then whether it sees the run folder."""
        if berth.where is not None:
            berth.shares = found
        else:
            berth.where = found
            self._share_lanes()
            if self._shared is not None and found.node != ray.get_runtime_context().get_node_id():
                berth.answer = berth.actor.sees.remote(str(self._shared.mark()))
                return
            berth.shares = True
        self._ask(berth)

    def _take(self, berth: _Berth, heard: Heard) -> Heard | Lost:
        if heard.files and self._shared is not None:
            self._shared.put(berth.folders[heard.lane], heard.files)
        if heard.lane == berth.on_trial and (heard.trained or heard.stopped or heard.lost is not None):
            berth.on_trial = None
        if heard.stopped or heard.lost is not None:
            berth.lanes.discard(heard.lane)
            berth.leaving.discard(heard.lane)
            berth.folders.pop(heard.lane, None)
        return heard if heard.lost is None else _lost(heard)

    def _ask(self, berth: _Berth) -> None:
        berth.answer = berth.actor.hear.remote(dict(berth.confirmed), PATIENCE_S)
        berth.confirmed.clear()

    def _replace(self, berth: _Berth, error: Exception) -> Iterator[Lost]:
        self._berths.remove(berth)
        ray.kill(berth.actor)
        if berth.where is None:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                text = " ".join(str(error).split())
                raise ResourceError(
                    f"a search needs processes that train, but {self._failed_starts} in a row ended at their start: "
                    f"{text}; run it with --pack 1, or on another machine"
                ) from error
        text = str(error).strip().split("\n")[0]
        # Tune trains a trial again whose actor died; one that raised would have told so in its report.
        taken_back = isinstance(error, RayActorError) and error.preempted
        for lane in sorted(berth.lanes):
            blamed = not taken_back and berth.on_trial in (None, lane)
            # Tune does not count what it takes for a node that was claimed back.
            yield Lost(lane, RayActorError(error_msg=f"its host ended: {text}", preempted=not blamed), blamed)

    def _look_around(self) -> Iterator[Said]:
        """Takes in which machines have come, and gets trials away from those that are about to leave."""
        seen = None if self._look_again is None else self._look_again()
        if seen is None or seen == self._seen:
            return
        before, self._seen, self._plan = self._seen, seen, seen.plan
        for berth in self._berths:
            if berth.where is not None and berth.where.node in seen.leaving and not berth.leaves:
                berth.leaves = True
                berth.commands += [Leave(lane) for lane in sorted(berth.lanes - berth.leaving)]
        self._share_lanes()
        # Where there was no room from the beginning, the search has said so.
        if seen.waiting is not None and before is not None and before.waiting is None:
            yield Said(seen.waiting)

    def _share_lanes(self) -> None:
        """Gives each host lanes in proportion to the memory of its device."""
        there = [berth for berth in self._berths if berth.where is not None]
        memory = [berth.where.memory for berth in there if berth.where is not None]
        for berth, lanes in zip(there, lanes_by_memory(self._plan, memory), strict=True):
            berth.most = lanes

    def _send(self) -> None:
        for berth in self._berths:
            if berth.commands:
                berth.actor.tell.remote(berth.sent, tuple(berth.commands))
                berth.sent += len(berth.commands)
                berth.commands.clear()

    def _at(self, lane: int) -> _Berth | None:
        """The host of a lane; None where it was lost, which the driver will hear."""
        return next((berth for berth in self._berths if lane in berth.lanes), None)


def _lost(heard: Heard) -> Lost:
    """The loss that a host has told of itself; one that is about to leave is nobody's fault, and Tune counts none."""
    assert heard.lost is not None, "only a lane that is lost"
    error = RayActorError(error_msg=heard.lost, preempted=heard.leaves)
    return Lost(heard.lane, error, blamed=not heard.leaves)
