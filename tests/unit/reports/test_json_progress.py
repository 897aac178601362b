import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from bmtune.confirmation.progress import ConfirmationProgress
from bmtune.confirmation.records import TrainingEnded
from bmtune.records import Bound
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.reports.events import Event
from bmtune.reports.json_progress import SECONDS_BETWEEN
from bmtune.reports.json_progress import JsonProgress

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
STARTED = RunStarted(
    run="night",
    trainer="gan",
    dataset="moons",
    data_hash="0",
    objective=Objective(metric="fid", mode="min"),
    trials=4,
    max_epochs=9,
    seed=3,
    bmtune="0.1.0",
    time=0.0,
)


class Pipe:
    """Lines as a program reads them, and the clock that dates them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.listener = JsonProgress(self.lines.append, lambda: self.now, lambda: 1000.0 + self.now)

    def events(self) -> list[dict[str, Any]]:
        """Each line, checked against its model, without what all have."""
        found = []
        for line in self.lines:
            assert "\n" not in line
            event = json.loads(line)
            EVENT.validate_json(line)
            assert event.pop("format") == "bmtune.events"
            assert event.pop("version") == 1
            assert event.pop("time") == pytest.approx(1000.0 + event.pop("elapsed_s"))
            found.append(event)
        return found

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event"] == name]

    def epoch(self, trial: int, epoch: int, fid: float) -> None:
        metrics = {"fid": fid, "train/loss": float("nan")}
        self.listener.on_record(
            Epoch(
                trial=trial,
                phase="gan",
                epoch=epoch,
                budget=epoch,
                metrics=metrics,
                seconds=0.1,
                eligible=True,
                best_epoch=epoch,
                best_metrics=metrics,
            )
        )


@pytest.fixture
def pipe() -> Pipe:
    found = Pipe()
    with found.listener:
        found.listener.on_record(STARTED)
        found.listener.on_record(TrialStarted(trial=0, params={"born.bond_dim": 6}, seed=7, time=0.0))
    return found


def test_a_search_begins_with_what_it_is(pipe: Pipe):
    assert pipe.events() == [
        {"event": "starting"},
        {
            "event": "started",
            "resumed": False,
            "run": "night",
            "trainer": "gan",
            "dataset": "moons",
            "objectives": [{"metric": "fid", "mode": "min"}],
            "constraints": [],
            "trials": 4,
            "max_epochs": 9,
            "seed": 3,
        },
        {"event": "trial_started", "trial": 0, "params": {"born.bond_dim": 6}, "seed": 7},
    ]


def test_a_trial_is_told_from_its_pause_to_its_end(pipe: Pipe):
    pipe.epoch(0, 1, 0.5)
    pipe.listener.on_record(Rung(trial=0, rung=1, value=0.5, decision="pause"))
    pipe.listener.on_record(TrialPromoted(trial=0, rung=1, time=1.0))
    pipe.listener.on_record(
        TrialFinished(
            trial=0, status="pruned", reason="so", value=0.5, best_epoch=1, best_metrics={"fid": 0.5}, time=2.0
        )
    )
    ended = {"status": "pruned", "reason": "so", "value": 0.5, "best_epoch": 1, "epochs": 1}
    assert [event for event in pipe.events()[3:] if event["event"].startswith("trial")] == [
        {"event": "trial_paused", "trial": 0, "rung": 1, "value": 0.5},
        {"event": "trial_promoted", "trial": 0, "rung": 1},
        {"event": "trial_ended", "trial": 0, **ended},
    ]


def test_progress_and_the_best_value_come_now_and_then(pipe: Pipe):
    pipe.listener.on_lanes(lambda: [(1, 2)])
    for epoch in range(1, 100):
        pipe.now = epoch / 10
        pipe.epoch(0, epoch, 1 / epoch)
    assert len(pipe.named("progress")) == len(pipe.named("best")) == 1 + int(9.9 // SECONDS_BETWEEN)
    last = pipe.named("progress")[-1]
    assert last == {
        "event": "progress",
        "trials": 1,
        "running": 1,
        "paused": 0,
        "completed": 0,
        "pruned": 0,
        "failed": 0,
        "epochs": last["epochs"],
        "epochs_per_s": pytest.approx(10, rel=0.02),
        "lanes": [[1, 2]],
    }
    pipe.listener.on_record(RunFinished(reason="all trials ended", best=0, test_metrics={"fid": 0.2}, time=3.0))
    best, ended = pipe.events()[-2:]
    assert (best["event"], best["value"], best["epoch"]) == ("best", 1 / 99, 99)
    # JSON has no word for a number that is not finite.
    assert best["metrics"]["train/loss"] is None
    assert ended == {"event": "ended", "reason": "all trials ended", "best": 0, "test_metrics": {"fid": 0.2}}


def test_a_search_that_goes_on_counts_what_was_and_tells_none_of_it():
    pipe = Pipe()
    pipe.listener.catch_up([STARTED, TrialStarted(trial=0, params={}, seed=0, time=0.0)])
    assert pipe.lines == []
    pipe.listener.on_record(RunResumed(trials=9, bmtune="0", time=1.0))
    (event,) = pipe.events()
    assert (event["event"], event["resumed"], event["trials"]) == ("started", True, 9)


def test_notices_and_trainings_of_a_confirmation_are_told(pipe: Pipe):
    pipe.listener.on_record(Notice(text="the disk is full"))
    facts = {"metric": "fid", "done": 1, "total": 20, "epochs": 5, "budget": 100}
    pipe.listener.on_confirming(ConfirmationProgress(**facts))
    pipe.listener.on_confirming(ConfirmationProgress(**facts, notice="a host was lost"))
    end = TrainingEnded(
        trial=3, seed=815, status="completed", reason="so", value=0.1, epoch=2, epochs=2, seconds=0.1, time=0.0
    )
    pipe.listener.on_confirming(ConfirmationProgress(**facts, latest=end))
    assert pipe.events()[3:] == [
        {"event": "notice", "text": "the disk is full"},
        {"event": "notice", "text": "a host was lost"},
        {"event": "confirming", "done": 1, "total": 20, "trial": 3, "seed": 815, "value": 0.1},
    ]


def test_several_objectives_and_constraints_are_told():
    pipe = Pipe()
    bound = Bound(metric="fid", relation="<=", limit=0.5)
    aims = {"others": (Objective(metric="acc", mode="max"),), "bounds": (bound,)}
    pipe.listener.on_record(STARTED.model_copy(update=aims))
    (event,) = pipe.events()
    assert event["objectives"] == [{"metric": "fid", "mode": "min"}, {"metric": "acc", "mode": "max"}]
    assert event["constraints"] == ["fid <= 0.5"]
    for trial in range(2):
        pipe.listener.on_record(TrialStarted(trial=trial, params={}, seed=0, time=0.0))
        metrics = {"fid": 0.1 * (trial + 1), "acc": 0.4 + 0.1 * trial}
        found = {"best_epoch": 1, "best_metrics": metrics}
        pipe.listener.on_record(
            Epoch(trial=trial, phase="gan", epoch=1, budget=1, metrics=metrics, seconds=0.1, eligible=True, **found)
        )
        pipe.listener.on_record(TrialFinished(trial=trial, status="completed", reason="so", time=1.0, **found))
    pipe.listener.on_record(RunFinished(reason="all trials ended", best=0, time=3.0))
    assert [event["pareto"] for event in pipe.named("best")] == [[0], [0, 1]]
