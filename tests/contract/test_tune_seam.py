"""What the lanes expect of Ray Tune's private parts, against the Ray that is installed."""

import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bmtune.audit import audit
from bmtune.config.space import SearchSpace
from bmtune.search.ledger import Ledger
from bmtune.search.resolve import ResolvedSearch

pytestmark = pytest.mark.slow
MakeSpace = Callable[..., SearchSpace]
OpenLedger = Callable[..., Ledger]


class Inside:
    """A fleet of one host without process or thread: it trains when it is listened to.

    Args:
        make: Makes trainings.
        lanes: Lanes that there are.
        lost_at: Times of listening, from 1, at which the host is lost.
    """

    def __init__(self, make: Any, lanes: int, lost_at: tuple[int, ...] = ()) -> None:
        from bmtune.search.packs import OneByOne
        from bmtune.search.rounds import Rounds

        self._make_rounds = partial(Rounds, make, OneByOne(), self._tell)
        self._rounds = self._make_rounds()
        self._free = lanes
        self._lost_at = lost_at
        self._listened = 0
        self._numbers = count()
        self._told: list[Any] = []
        self.lanes: set[int] = set()
        self.most = 0
        self.closed = 0

    def _tell(self, told: Any) -> None:
        self._told.append(told)

    def ask_for(self, lanes: int) -> None:
        """There is one host."""

    def place(self, task: str, *, suspect: bool = False) -> int | None:
        from bmtune.search.rounds import Start

        if len(self.lanes) == self._free:
            return None
        lane = next(self._numbers)
        self.lanes.add(lane)
        self.most = max(self.most, len(self.lanes))
        self._rounds.apply(Start(lane, task))
        return lane

    def go_on(self, lane: int) -> None:
        from bmtune.search.rounds import GoOn

        self._rounds.apply(GoOn(lane))

    def confirm(self, lane: int) -> None:
        from bmtune.search.rounds import Confirm

        self._rounds.apply(Confirm(lane, 1))

    def stop(self, lane: int) -> None:
        from bmtune.search.rounds import Stop

        self._rounds.apply(Stop(lane))

    def hear(self, timeout_s: float) -> Iterator[Any]:
        from ray.exceptions import RayActorError

        from bmtune.search.fleet import Lost
        from bmtune.search.host import Heard

        self._listened += 1
        if self._listened in self._lost_at:
            self._told.clear()
            self._rounds = self._make_rounds()
            lost, self.lanes = sorted(self.lanes), set()
            yield from (Lost(lane, RayActorError(error_msg="its host ended"), blamed=True) for lane in lost)
            return
        self._rounds.round(lambda: None)
        told, self._told = self._told, []
        for entry in told:
            if entry.stopped:
                self.lanes.discard(entry.lane)
            report = None if entry.due is None else entry.due.carry_out().model_dump_json()
            waits = entry.due is not None and entry.due.waits
            yield Heard(entry.lane, report, waits, trained=True, stopped=entry.stopped)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def resolved(make_space: MakeSpace, tmp_path: Path) -> ResolvedSearch:
    space = make_space(("trials: 8", "trials: 9"), ("budget:", "run: {halving: stop}\nbudget:"))
    return ResolvedSearch(space, tmp_path, None, "hash")


@pytest.fixture
def ledger(resolved: ResolvedSearch, open_ledger: OpenLedger, listened: Any) -> Ledger:
    return open_ledger(resolved.space, listened)


def test_the_seam_holds_with_the_ray_that_is_installed() -> None:
    from bmtune.search.lanes import seam_holds

    assert seam_holds() is None


def test_another_ray_is_told_from_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from bmtune.search.lanes import seam_holds

    monkeypatch.setattr(ray, "__version__", "3.1.0")
    assert seam_holds() == "Ray is version 3.1.0, and version 2.60 was tested"


def test_what_ray_renames_or_asks_anew_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from bmtune.search.lanes import SEAM
    from bmtune.search.lanes import LaneManager
    from bmtune.search.lanes import seam_holds

    with monkeypatch.context() as patch:
        patch.delattr(SEAM, "RayActorManager")
        assert "RayActorManager" in str(seam_holds())
    with monkeypatch.context() as patch:
        patch.delattr(LaneManager, "add_actor")
        assert seam_holds() == "Tune's controller asks its actor manager for add_actor"
    with monkeypatch.context() as patch:
        patch.setattr(SEAM.RayActorManager, "add_actor", lambda self, cls, kwargs: None)
        assert seam_holds() == "the parameters of add_actor are (self, cls, kwargs)"
    assert seam_holds() is None


def run(resolved: ResolvedSearch, ledger: Ledger, fleet: Inside, concurrent: int = 4) -> None:
    from bmtune.search.trainable import BornTrial
    from bmtune.search.tune_loop import run_trials

    run_trials(resolved, ledger, lambda: concurrent, BornTrial, fleet)  # type: ignore[arg-type]


def test_trials_of_tune_run_as_lanes(
    ray_cluster: Any, resolved: ResolvedSearch, ledger: Ledger, listened: Any, fake_training: Any
) -> None:
    from ray.tune.execution import tune_controller

    before = tune_controller.RayActorManager  # type: ignore[attr-defined]
    fleet = Inside(fake_training, lanes=3)
    run(resolved, ledger, fleet)
    assert tune_controller.RayActorManager is before  # type: ignore[attr-defined]
    assert fleet.closed
    assert (fleet.lanes, fleet.most) == (set(), 3)
    assert len(ledger.state.finished) == 9
    assert {trial.end.status for trial in ledger.state.finished.values()} == {"completed", "pruned"}
    assert len(listened.epochs()) == len(set(listened.epochs()))


# Hosts are lost at every step of trials that start, pause, leave and are promoted, also twice in a row.
@pytest.mark.parametrize("lost_at", [(7,), (1, 2, 3), (4, 5, 9, 10), (2, 6, 11, 12, 13), tuple(range(3, 60, 5))])
def test_lanes_pause_and_are_promoted_though_hosts_are_lost(
    ray_cluster: Any,
    make_space: MakeSpace,
    open_ledger: OpenLedger,
    listened: Any,
    fake_training: Any,
    tmp_path: Path,
    lost_at: tuple[int, ...],
) -> None:
    space = make_space(("trials: 8", "trials: 20"), ("budget:", "run: {halving: promote, max_failures: 9}\nbudget:"))
    ledger, fleet = open_ledger(space, listened), Inside(fake_training, lanes=3, lost_at=lost_at)
    run(ResolvedSearch(space, tmp_path, None, "hash"), ledger, fleet)
    promoted = {record.trial for record in listened.records if record.kind == "trial_promoted"}
    assert promoted & {number for number, trial in ledger.state.finished.items() if trial.end.status == "completed"}
    assert ledger.state.is_over
    assert len(ledger.state.finished) + len(ledger.state.paused) == 20
    assert not fleet.lanes
    assert audit(listened.records) == []
    told = [record.text for record in listened.records if record.kind == "notice"]
    assert told
    assert all("lost its process and goes on from epoch" in text for text in told)


def test_trials_go_on_when_their_host_was_lost(
    ray_cluster: Any, resolved: ResolvedSearch, ledger: Ledger, listened: Any, fake_training: Any
) -> None:
    fleet = Inside(fake_training, lanes=3, lost_at=(2, 9, 10))
    run(resolved, ledger, fleet)
    assert len(ledger.state.finished) == 9
    assert {trial.end.status for trial in ledger.state.finished.values()} == {"completed", "pruned"}
    assert len(listened.epochs()) == len(set(listened.epochs()))


def test_a_trial_whose_host_is_lost_too_often_is_given_up(
    ray_cluster: Any, resolved: ResolvedSearch, ledger: Ledger, fake_training: Any
) -> None:
    run(resolved, ledger, Inside(fake_training, lanes=1, lost_at=(1, 2, 3, 4)), concurrent=1)
    reasons = {
        number: trial.end.reason for number, trial in ledger.state.finished.items() if trial.end.status == "failed"
    }
    assert reasons == {0: "its process was lost: its host ended"}


def test_tune_can_pause_a_lane_and_go_on_later(
    ray_cluster: Any, resolved: ResolvedSearch, ledger: Ledger, fake_training: Any
) -> None:
    import ray.tune

    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher
    from bmtune.search.lanes import lanes
    from bmtune.search.trainable import BornTrial
    from bmtune.search.tune_loop import to_config

    paused: list[str] = []

    class Pausing(HalvingScheduler):
        """Pauses every trial once, at its third report, and lets it go on when nothing else is there."""

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            decision = super().on_trial_result(tune_controller, trial, result)
            if decision == self.CONTINUE and trial.trial_id not in paused and result["training_iteration"] == 3:
                paused.append(trial.trial_id)
                return str(self.PAUSE)
            return decision

        def choose_trial_to_run(self, tune_controller: Any) -> Any:
            trials = tune_controller.get_trials()
            waiting = [trial for trial in trials if trial.status == "PENDING"]
            return next((trial for trial in [*waiting, *trials] if trial.status in ("PENDING", "PAUSED")), None)

    space = resolved.space
    space = SearchSpace(
        **{**vars(space), "run": space.run.model_copy(update={"scheduler": "none", "report_every_s": 0})}
    )
    ledger.state.space = space
    with (
        lanes(Inside(fake_training, lanes=2), lambda config, report: None, print),
        tempfile.TemporaryDirectory() as storage,
    ):  # type: ignore[arg-type]
        ray.tune.run(
            BornTrial,
            storage_path=storage,
            search_alg=RecordSearcher(
                ledger, partial(to_config, ResolvedSearch(space, resolved.run_folder, None), ledger), lambda: 9
            ),
            scheduler=Pausing(ledger, lambda: 9, print),
            num_samples=9,
            max_concurrent_trials=3,
            verbose=0,
            raise_on_failed_trial=True,
        )
    assert len(paused) == 9
    assert [trial.run.budget for trial in ledger.state.finished.values()] == [9] * 9


class Store:
    """A registry like Tune's, which counts what it is asked."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.asked: list[str] = []

    def register(self, category: str, key: str, value: Any) -> None:
        self.values[category, key] = value

    def contains(self, category: str, key: str) -> bool:
        self.asked.append(key)
        return (category, key) in self.values

    def get(self, category: str, key: str) -> Any:
        self.asked.append(key)
        return self.values[category, key]


def test_a_registry_is_asked_once_for_a_trainable_and_is_itself_again_afterwards() -> None:
    from bmtune.search.lanes import remembered_trainables

    store = Store()
    with remembered_trainables(store):
        assert not store.contains("trainable", "a")
        store.register("trainable", "a", 1)
        assert [store.get("trainable", "a") for _ in range(4)] == [1] * 4
        assert store.contains("trainable", "a")
        assert store.asked == ["a", "a"]
        store.register("trainable", "a", 2)
        assert store.get("trainable", "a") == 2
    assert set(vars(store)) == {"values", "asked"}
    store.asked.clear()
    assert [store.get("trainable", "a") for _ in range(3)] == [2] * 3
    assert len(store.asked) == 3
