"""Lanes without threads: what they tell, in which order, and what becomes of them."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.space import SearchSpace
from bmtune.search.rounds import LEAVING
from bmtune.search.rounds import Confirm
from bmtune.search.rounds import GoOn
from bmtune.search.rounds import Leave
from bmtune.search.rounds import Rounds
from bmtune.search.rounds import Start
from bmtune.search.rounds import Stop
from bmtune.search.rounds import Told
from bmtune.search.trial_run import Task
from bmtune.training import EpochReport

MakeSpace = Callable[..., SearchSpace]


class Counting:
    """All lanes together, and how many each pack had."""

    def __init__(self) -> None:
        self.packs: list[int] = []
        self.error: Exception | None = None

    def width(self, trainings: Any) -> int:
        return len(trainings)

    def key(self, training: Any) -> str:
        return str(training.config.name)

    def advance(self, trainings: Sequence[Any]) -> Sequence[EpochReport]:
        if any(training.config.name == "raises" for training in trainings):
            raise RuntimeError("no luck")
        if self.error is not None:
            raise self.error
        self.packs.append(len(trainings))
        return [training.advance() for training in trainings]


class Driven:
    """Rounds with a clock that stands still, and everything that they told."""

    def __init__(self, make: Any, task: Callable[..., str]) -> None:
        self.packing = Counting()
        self.told: list[Told] = []
        self.now = 0.0
        self.rounds = Rounds(make, self.packing, self.told.append, lambda: self.now)
        self._task = task

    def start(self, lane: int, **settings: Any) -> None:
        self.rounds.apply(Start(lane, self._task(lane, **settings)))

    def round(self, times: int = 1) -> None:
        for _ in range(times):
            self.rounds.round(lambda: None)

    def epochs(self) -> list[tuple[int, list[int]]]:
        """(lane, its epochs) for each report, in order; forgets them."""
        found = [(told.lane, [epoch.epoch for epoch in told.due.epochs]) for told in self.told if told.due is not None]
        self.told.clear()
        return found


@pytest.fixture
def driven(make_space: MakeSpace, fake_training: type[Any], tmp_path: Path) -> Driven:
    base = make_space().base

    def task(trial: int, *, every: float = 1000.0, rungs: tuple[int, ...] = (3,), name: str = "plain") -> str:
        config = base.model_copy(update={"name": name})
        return Task(
            trial=trial, config=config, run_folder=str(tmp_path), rungs=rungs, report_every_s=every
        ).model_dump_json()

    return Driven(fake_training, task)


def test_a_lane_runs_ahead_to_its_rung_and_waits_there(driven: Driven) -> None:
    driven.start(0)
    driven.round(7)
    assert driven.told[-1].due is not None
    assert driven.told[-1].due.waits
    assert driven.epochs() == [(0, [1]), (0, [2, 3])]
    assert not driven.rounds.has_work
    driven.rounds.apply(GoOn(0))
    driven.round(9)
    assert driven.told[-1].due is not None
    assert driven.told[-1].due.end is not None
    assert driven.epochs() == [(0, [4, 5, 6, 7, 8, 9])]
    assert not driven.rounds.has_work


def test_every_epoch_is_told_by_itself_where_asked_and_nothing_is_waited_for(driven: Driven) -> None:
    driven.start(0, every=0.0, rungs=())
    driven.round(9)
    assert driven.epochs() == [(0, [epoch]) for epoch in range(1, 10)]


def test_seldom_reports_hold_what_happened_meanwhile(driven: Driven) -> None:
    driven.start(0, every=2.0, rungs=())
    for _ in range(6):
        driven.round()
        driven.now += 1.0
    assert driven.epochs() == [(0, [1]), (0, [2, 3]), (0, [4, 5])]


def test_lanes_of_one_kind_are_advanced_together_and_no_kind_is_left_out(driven: Driven) -> None:
    for lane in range(3):
        driven.start(lane, rungs=())
    driven.start(3, name="other", rungs=())
    driven.round(2)
    assert driven.packing.packs == [3, 1, 3, 1]


def test_a_lane_that_is_given_back_is_filled_before_the_next_epoch(driven: Driven) -> None:
    for lane in range(2):
        driven.start(lane, rungs=())
    driven.round()
    driven.rounds.apply(Stop(0))
    driven.start(2, rungs=())
    driven.told.clear()
    driven.round()
    assert driven.packing.packs == [2, 2]
    assert driven.epochs() == [(2, [1])]


def test_commands_are_taken_between_two_packs_of_a_round(driven: Driven) -> None:
    driven.start(0, rungs=())
    driven.start(1, name="other", rungs=())
    commands = iter([[], [Stop(1)]])
    driven.rounds.round(lambda: [driven.rounds.apply(command) for command in next(commands)] and None)
    assert driven.packing.packs == [1]
    assert [(told.lane, told.stopped) for told in driven.told] == [(0, False), (1, True)]


def test_what_was_not_told_yet_is_told_when_a_lane_is_given_back(driven: Driven, tmp_path: Path) -> None:
    driven.start(0, rungs=())
    driven.round(4)
    driven.told.clear()
    driven.rounds.apply(Stop(0))
    (told,) = driven.told
    assert told.stopped
    assert told.due is not None
    report = told.due.carry_out()
    assert [epoch.epoch for epoch in report.epochs] == [2, 3, 4]
    assert [checkpoint.which for checkpoint in report.checkpoints] == ["best", "last"]
    assert read_checkpoint(tmp_path / "checkpoints/trial-00000/last")[1]["budget"] == 4


def test_a_lane_that_waits_has_nothing_left_to_tell(driven: Driven) -> None:
    driven.start(0)
    driven.round(3)
    driven.told.clear()
    driven.rounds.apply(Stop(0))
    assert driven.told == [Told(0, None, stopped=True)]


def test_a_guilty_lane_fails_and_its_neighbours_train_on(driven: Driven) -> None:
    driven.start(0, rungs=())
    driven.start(1, name="raises", rungs=())
    driven.round(2)
    ends = [(told.lane, told.due.end.reason) for told in driven.told if told.due is not None and told.due.end]
    assert ends == [(1, "RuntimeError: no luck")]
    assert driven.packing.packs == [1, 1]


def test_a_lane_that_runs_out_of_memory_alone_is_lost_and_its_trial_may_go_on_in_another(driven: Driven) -> None:
    driven.start(0)
    driven.round()
    driven.told.clear()
    driven.packing.error = MemoryError("nothing is left")
    driven.round()
    assert driven.told == [Told(0, None, lost=driven.told[0].lost)]
    assert (driven.told[0].lost or "").startswith("MemoryError: a trial must fit into memory alone")
    driven.told.clear()
    driven.packing.error = None
    driven.start(0)
    driven.round(3)
    assert driven.epochs() == [(0, [1]), (0, [2, 3])]


def test_a_lane_that_cannot_start_fails_with_its_reason(driven: Driven) -> None:
    driven.rounds.apply(Start(5, "no task"))
    (told,) = driven.told
    assert (told.lane, told.stopped) == (5, False)
    assert told.due is not None
    assert told.due.end is not None
    assert told.due.end.status == "failed"
    assert not driven.rounds.has_work


def test_a_trial_goes_on_in_another_lane_and_tells_again_what_may_be_lost(driven: Driven) -> None:
    driven.start(0, every=0.0)
    driven.round(2)
    driven.rounds.apply(Confirm(0, 1))
    driven.round()
    due = driven.told[-1].due
    assert due is not None
    due.carry_out()
    driven.rounds.apply(Stop(0))
    driven.told.clear()
    driven.start(0)
    due = driven.told[0].due
    assert due is not None
    assert (due.waits, due.trained) == (True, False)
    assert driven.epochs() == [(0, [2, 3])]
    driven.rounds.apply(GoOn(0))
    driven.round()
    assert driven.epochs() == [(0, [4])]


def test_a_lane_whose_machine_leaves_writes_all_that_it_has_trained_and_is_no_more(
    driven: Driven, tmp_path: Path
) -> None:
    driven.start(0, rungs=())
    driven.round(3)
    assert driven.epochs() == [(0, [1])], "one report so far"
    driven.rounds.apply(Leave(0))
    (told,) = driven.told
    assert (told.lost, told.leaves, told.stopped) == (LEAVING, True, False)
    assert told.due is not None
    told.due.carry_out()
    _, facts = read_checkpoint(tmp_path / "checkpoints" / "trial-00000" / "last")
    assert facts["budget"] == 3
    assert not driven.rounds.has_work
    driven.rounds.apply(Leave(0))
    assert len(driven.told) == 1, "it has left already"


def test_a_lane_that_waits_at_a_rung_leaves_with_the_checkpoint_that_it_has(driven: Driven) -> None:
    driven.start(0, rungs=(1,))
    driven.round()
    driven.told.clear()
    driven.rounds.apply(Leave(0))
    (told,) = driven.told
    assert (told.due, told.leaves) == (None, True)
