"""The seam to Ray Tune: its trials become lanes of our hosts instead of processes of their own.

Tune's controller starts, calls and stops "trial actors" through a `RayActorManager`, a name in its module that is
private to Ray. `LaneManager` takes its place while a search runs. Nothing else in bmtune touches what is private to
Ray, and `seam_holds` tells beforehand whether all of it is as it was when this was written.
"""

import inspect
import re
from collections import Counter
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import ray
from ray.tune import registry as _registry
from ray.tune.execution import tune_controller as _tune_controller

from bmtune.search.adapters import NUMBER
from bmtune.search.fleet import Fleet
from bmtune.search.fleet import Lost
from bmtune.search.host import Heard
from bmtune.search.host import Said
from bmtune.search.trainable import REPORT

SEAM: Any = _tune_controller
"""The module of Tune's controller, whose names are private to Ray and have no types."""

TESTED = (2, 60)
"""The version of Ray that the contract tests were run with: what is private may be otherwise in any other."""

SUSPECT_AFTER = 2
"""Hosts that ended with a trial until it is taken for the reason: one may be killed by anybody."""

OnLateReport = Callable[[Mapping[str, Any], str], None]
"""(configuration of a trial, `TrialReport` as JSON): what a trial still told after Tune had let go of it."""

Say = Callable[[str], None]
"""Takes a sentence for the user."""


class LaneActor:
    """What Tune takes for a tracked actor: a trial that waits for a lane or has one."""

    def __init__(self, config: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
        """A trial that waits."""
        self.config = config
        self.lane: int | None = None
        self.stopping = False
        self.waits = False
        self.iterations = 0
        self.reports: deque[Heard] = deque()
        self.training: tuple[Any, Any] | None = None
        self.on_start, self.on_stop, self.on_error = (callbacks[name] for name in ("start", "stop", "error"))

    def set_on_start(self, on_start: Any) -> None:
        """See Ray's `TrackedActor`."""
        self.on_start = on_start

    def set_on_stop(self, on_stop: Any) -> None:
        """See Ray's `TrackedActor`."""
        self.on_stop = on_stop

    def set_on_error(self, on_error: Any) -> None:
        """See Ray's `TrackedActor`."""
        self.on_error = on_error


class LaneManager:
    """Stands in for Tune's `RayActorManager`; the methods are those that Tune's controller calls.

    A call of a trial's `train` is answered by the next report of its lane, which has mostly come already: lanes train
    ahead. Everything else that Tune asks of a trial is answered here: checkpoints are in the run folder.
    """

    def __init__(self, fleet: Fleet, on_late_report: OnLateReport, say: Say, resource_manager: Any = None) -> None:
        """A manager without trials.

        Args:
            fleet: The hosts.
            on_late_report: Takes what a trial still told after Tune had let go of it.
            say: Takes what a host says to the user.
            resource_manager: Tune's own; lanes need no resources of Ray.
        """
        self._fleet = fleet
        self._on_late_report = on_late_report
        self._say = say
        self._pending: list[LaneActor] = []
        # Tune reads this one: a trial's handle, and what it occupies.
        self._live_actors_to_ray_actors_resources: dict[LaneActor, tuple[Any, Any]] = {}
        self._by_lane: dict[int, LaneActor] = {}
        self._failed: set[LaneActor] = set()
        self._events: deque[Callable[[], None]] = deque()
        self._losses: Counter[int] = Counter()

    @property
    def num_live_actors(self) -> int:
        """Trials that have a lane."""
        return len(self._by_lane)

    @property
    def num_pending_actors(self) -> int:
        """Trials that wait for one."""
        return len(self._pending)

    @property
    def num_total_actors(self) -> int:
        """All trials."""
        return self.num_live_actors + self.num_pending_actors

    @property
    def num_actor_tasks(self) -> int:
        """Calls that are not answered yet."""
        return sum(actor.training is not None for actor in self._by_lane.values())

    def get_live_actors_resources(self) -> dict[str, float]:
        """Nothing: hosts occupy resources, lanes do not."""
        return {}

    def is_actor_started(self, tracked_actor: LaneActor) -> bool:
        """Whether a trial has a lane."""
        return tracked_actor in self._live_actors_to_ray_actors_resources and tracked_actor not in self._failed

    def is_actor_failed(self, tracked_actor: LaneActor) -> bool:
        """Whether a trial's host was lost."""
        return tracked_actor in self._failed

    def add_actor(
        self,
        cls: Any,
        kwargs: Mapping[str, Any],
        resource_request: Any,
        *,
        on_start: Any = None,
        on_stop: Any = None,
        on_error: Any = None,
    ) -> LaneActor:
        """A trial waits for a lane from now on; `on_start` is called when it has one."""
        actor = LaneActor(kwargs["config"], {"start": on_start, "stop": on_stop, "error": on_error})
        self._pending.append(actor)
        return actor

    def remove_actor(self, tracked_actor: LaneActor, kill: bool = False, stop_future: Any = None) -> bool:  # noqa: FBT001, FBT002 - Ray's signature
        """Gives a trial's lane back; whether `on_stop` will be called."""
        if tracked_actor in self._pending:
            self._pending.remove(tracked_actor)
            return False
        if not self.is_actor_started(tracked_actor):
            return False
        tracked_actor.stopping, tracked_actor.training = True, None
        while tracked_actor.reports:
            self._late(tracked_actor, tracked_actor.reports.popleft())
        assert tracked_actor.lane is not None, "a trial that has started has a lane"
        self._fleet.stop(tracked_actor.lane)
        return True

    def schedule_actor_task(
        self,
        tracked_actor: LaneActor,
        method_name: str,
        args: Any = None,
        kwargs: Any = None,
        on_result: Any = None,
        on_error: Any = None,
        _return_future: bool = False,  # noqa: FBT001, FBT002 - Ray's signature
    ) -> Any:
        """A call of a trial's method; the answer comes with `next`."""
        if tracked_actor in self._failed:
            return None
        if method_name == "train":
            self._train(tracked_actor, on_result, on_error)
        elif method_name == "save" and on_result is not None:
            # A lane that is given back writes what it needs to go on, and the trial gets no other one before.
            nothing = SimpleNamespace(checkpoint=None, metrics={})
            self._events.append(partial(self._answer, tracked_actor, on_result, nothing))
        elif method_name != "stop":
            raise ValueError(f"a lane answers train, save and stop, but Tune asks for {method_name}")
        return object() if _return_future else None

    def clear_actor_task_futures(self, tracked_actor: LaneActor) -> None:
        """Forgets the calls that are not answered yet."""
        tracked_actor.training = None

    def next(self, timeout: float | None = None) -> bool:
        """Calls back for one event, which it waits for up to `timeout` seconds; whether there was one."""
        self._place()
        if not self._events:
            for heard in self._fleet.hear(3600.0 if timeout is None else timeout):
                self._take(heard)
            self._place()
        if not self._events:
            return False
        self._events.popleft()()
        return True

    def cleanup(self) -> None:
        """Ends all hosts."""
        self._fleet.close()

    def _place(self) -> None:
        if not self._pending:
            return
        self._fleet.ask_for(self.num_total_actors)
        # A trial that has just been paused may be wanted again before its old lane has written all of it.
        leaving = {actor.config[NUMBER] for actor in self._by_lane.values()}
        for actor in [actor for actor in self._pending if actor.config[NUMBER] not in leaving]:
            suspect = self._losses[actor.config[NUMBER]] >= SUSPECT_AFTER
            lane = self._fleet.place(actor.config["task"], suspect=suspect)
            if lane is None:
                continue
            actor.lane = lane
            self._pending.remove(actor)
            self._by_lane[lane] = actor
            self._live_actors_to_ray_actors_resources[actor] = (_HANDLE, None)
            self._events.append(partial(self._started, actor))

    def _train(self, actor: LaneActor, on_result: Any, on_error: Any) -> None:
        """The report before this call was dealt with; the next one answers it."""
        assert actor.lane is not None, "Tune trains a trial when it has started"
        actor.training = (on_result, on_error)
        if actor.iterations:
            self._fleet.confirm(actor.lane)
        if actor.waits:
            actor.waits = False
            self._fleet.go_on(actor.lane)
        if actor.reports:
            self._events.append(partial(self._trained, actor))

    def _take(self, heard: Heard | Lost | Said) -> None:
        if isinstance(heard, Said):
            self._say(heard.text)
            return
        actor = self._by_lane.get(heard.lane)
        if actor is None:
            return
        if isinstance(heard, Lost):
            self._losses[actor.config[NUMBER]] += heard.blamed
            self._events.append(partial(self._lost, actor, heard.error))
        elif heard.stopped:
            self._late(actor, heard)
            self._events.append(partial(self._ended, actor))
        elif actor.stopping:
            self._late(actor, heard)
        else:
            actor.reports.append(heard)
            if actor.training is not None and len(actor.reports) == 1:
                self._events.append(partial(self._trained, actor))

    def _late(self, actor: LaneActor, heard: Heard) -> None:
        if heard.report is not None:
            self._on_late_report(actor.config, heard.report)

    def _started(self, actor: LaneActor) -> None:
        if not actor.stopping and actor not in self._failed and actor.on_start is not None:
            actor.on_start(actor)

    def _answer(self, actor: LaneActor, on_result: Any, result: Any) -> None:
        if self.is_actor_started(actor) and not actor.stopping:
            on_result(actor, result)

    def _trained(self, actor: LaneActor) -> None:
        if actor.training is None or not actor.reports:
            return
        heard, (on_result, _) = actor.reports.popleft(), actor.training
        actor.training, actor.waits = None, heard.waits
        actor.iterations += 1
        on_result(actor, {REPORT: heard.report, "training_iteration": actor.iterations})

    def _ended(self, actor: LaneActor) -> None:
        self._forget(actor)
        if actor.on_stop is not None:
            actor.on_stop(actor)

    def _lost(self, actor: LaneActor, error: Exception) -> None:
        if actor.stopping:
            self._ended(actor)
            return
        training = actor.training
        self._failed.add(actor)
        self._forget(actor)
        if actor.on_error is not None:
            actor.on_error(actor, error)
        if training is not None:
            training[1](actor, error)

    def _forget(self, actor: LaneActor) -> None:
        assert actor.lane is not None, "only a trial with a lane can lose it"
        actor.training = None
        self._by_lane.pop(actor.lane, None)
        self._live_actors_to_ray_actors_resources.pop(actor, None)


@contextmanager
def lanes(fleet: Fleet, on_late_report: OnLateReport, say: Say) -> Iterator[None]:
    """Tune places its trials as lanes of a fleet while this is open."""
    before = SEAM.RayActorManager
    SEAM.RayActorManager = partial(LaneManager, fleet, on_late_report, say)
    try:
        with remembered_trainables(_registry._global_registry):
            yield
    finally:
        SEAM.RayActorManager = before
        fleet.close()


@contextmanager
def remembered_trainables(registry: Any) -> Iterator[None]:
    """Tune's registry asks Ray's store once for what it otherwise asks five times a trial, 3 ms each."""
    known: dict[tuple[str, str], Any] = {}
    contains, get, register = registry.contains, registry.get, registry.register

    def contains_known(category: str, key: str) -> bool:
        return (category, key) in known or contains(category, key)

    def get_known(category: str, key: str) -> Any:
        if (category, key) not in known:
            known[category, key] = get(category, key)
        return known[category, key]

    def register_anew(category: str, key: str, value: Any) -> None:
        known.pop((category, key), None)
        register(category, key, value)

    registry.contains, registry.get, registry.register = contains_known, get_known, register_anew
    try:
        yield
    finally:
        # What the class defines is found again.
        del registry.contains, registry.get, registry.register


NOT_ASKED = {"_actor_task_events"}
"""What Tune's controller asks of a manager only where a trial exports models, which ours never do."""

CALLED = {"train", "save", "stop"}
"""Methods of a trial that Tune calls."""

NOT_CALLED = {"train_buffered", "restore", "reset", "export_model"}
"""Methods of a trial that Tune calls only with buffers, with checkpoints of its own, with actors that it uses again, or
with models to export, and ours has none of them."""


def seam_holds() -> str | None:
    """Why Tune's trials cannot become lanes here, in words for a message; None where they can."""
    version = tuple(int(part) for part in re.findall(r"\d+", ray.__version__)[:2])
    if version != TESTED:
        return f"Ray is version {ray.__version__}, and version {TESTED[0]}.{TESTED[1]} was tested"
    try:
        return _difference()
    except (AttributeError, OSError, TypeError) as error:
        return f"a private part of Ray Tune is missing: {error}"


def _difference() -> str | None:
    """The first difference between what Tune does and what `LaneManager` expects."""
    controller, replaced = inspect.getsource(SEAM.TuneController), SEAM.RayActorManager
    if "RayActorManager(resource_manager=resource_manager)" not in controller:
        return "Tune's controller makes its actor manager in another way"
    asked = set(re.findall(r"_actor_manager\.(\w+)", controller)) - NOT_ASKED
    known = set(dir(LaneManager)) | {"_live_actors_to_ray_actors_resources"}
    if asked - known:
        return f"Tune's controller asks its actor manager for {', '.join(sorted(asked - known))}"
    for name in sorted(asked):
        theirs, ours = getattr(replaced, name, None), getattr(LaneManager, name, None)
        if inspect.isfunction(theirs) and list(inspect.signature(theirs).parameters) != _parameters(ours):
            return f"the parameters of {name} are {inspect.signature(theirs)}"
    called = set(re.findall(r"""method_name ?= ?"(\w+)\"""", controller)) - CALLED - NOT_CALLED
    if called:
        return f"Tune's controller calls {', '.join(sorted(called))} of a trial"
    registry = type(_registry._global_registry)
    if [_parameters(getattr(registry, name)) for name in ("contains", "get")] != [["self", "category", "key"]] * 2:
        return "Tune's registry is asked in another way"
    handle = set(re.findall(r"ray_actor\.(\w+)\.remote", inspect.getsource(SEAM.Trial)))
    if handle - {"get_auto_filled_metrics", "get_current_ip_pid"}:
        return f"a trial of Tune calls {', '.join(sorted(handle))}"
    return None


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


# What Tune asks of a trial's handle by itself, and reads only where a trial has not reported.
_HANDLE = SimpleNamespace(get_auto_filled_metrics=SimpleNamespace(remote=lambda **options: {}))
