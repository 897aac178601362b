"""What a run needs before it goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bmtune.checkpoints import write_checkpoint
from bmtune.config.space import SearchSpace
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.search.going_on import ASIDE
from bmtune.search.going_on import complete_last_event
from bmtune.search.going_on import set_aside_unrecorded
from bmtune.search.ledger import Ledger
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import checkpoint_path

BOND, LR = "born.bond_dim", "trainer.classification.optimizer.lr"


def epoch(number: int, loss: float = 0.5, trial: int = 0) -> Epoch:
    metrics = {"loss": loss}
    return Epoch(
        trial=trial,
        phase="pre",
        epoch=number,
        budget=number,
        metrics=metrics,
        seconds=0.1,
        eligible=True,
        best_epoch=number,
        best_metrics=metrics,
    )


@pytest.fixture
def make_ledger(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], listened: Any
) -> Callable[..., Ledger]:
    """A search of one trial, with these records of it; the rungs are 1 and 3. What comes later is listened to."""

    def make(*records: Record, run: str = "{halving: stop}") -> Ledger:
        ledger = open_ledger(make_space(("budget:", f"run: {run}\nbudget:")), listened)
        ledger.record(TrialStarted(trial=0, params={LR: 0.01, BOND: 6}, seed=0, time=0.0))
        for record in records:
            ledger.record(record)
        listened.records.clear()
        return ledger

    return make


def last(folder: Path, epochs: dict[str, int], *untold: Epoch) -> Path:
    """The `last` checkpoint of a trial that has trained these epochs and told of all but some."""
    path = folder / checkpoint_path(0, "last")
    report = TrialReport(epochs=untold).model_dump_json()
    write_checkpoint(path, {"cores": torch.zeros(2)}, {"epochs": epochs, "untold": report})
    return path


def test_a_decision_that_was_lost_is_taken_now(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path
) -> None:
    complete_last_event(make_ledger(epoch(1)), tmp_path, clock=lambda: 7.0)
    assert listened.records == [Rung(trial=0, rung=1, value=0.5, decision="continue")]


@pytest.mark.parametrize(
    ("records", "run"),
    [
        ((epoch(1), Rung(trial=0, rung=1, value=0.5, decision="continue")), "{halving: stop}"),
        ((epoch(1), epoch(2)), "{scheduler: none}"),
        ((epoch(1), Rung(trial=0, rung=1, value=0.5, decision="pause")), "{halving: promote}"),
    ],
)
def test_what_is_whole_is_left_as_it_is(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path, records: tuple[Record, ...], run: str
) -> None:
    complete_last_event(make_ledger(*records, run=run), tmp_path)
    assert listened.records == []


def test_a_stopped_trial_whose_end_was_lost_ends_now(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path
) -> None:
    stopped = Rung(trial=0, rung=1, value=0.5, decision="stop")
    ledger = make_ledger(epoch(1), stopped)
    last(tmp_path, {"pre": 1})
    complete_last_event(ledger, tmp_path, clock=lambda: 7.0)
    written, ended = listened.records
    assert isinstance(written, CheckpointWritten)
    assert (written.which, written.path) == ("last", checkpoint_path(0, "last"))
    assert isinstance(ended, TrialFinished)
    assert (ended.status, ended.reason, ended.value, ended.time) == ("pruned", "stopped at rung 1", 0.5, 7.0)
    assert not ledger.state.running


def test_a_checkpoint_that_the_records_bear_out_stays(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path
) -> None:
    ledger = make_ledger(epoch(1), epoch(2))
    # The third epoch was not recorded, but the checkpoint itself tells of it.
    path = last(tmp_path, {"pre": 3}, epoch(3))
    set_aside_unrecorded(ledger, tmp_path, ledger.state.running[0])
    assert path.is_dir()
    assert listened.records == []


def test_a_checkpoint_with_an_epoch_that_nothing_tells_of_is_set_aside(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path
) -> None:
    ledger = make_ledger(epoch(1))
    path = last(tmp_path, {"pre": 3}, epoch(3))
    set_aside_unrecorded(ledger, tmp_path, ledger.state.running[0])
    assert not path.exists()
    assert path.with_name(ASIDE).is_dir()
    [notice] = listened.records
    assert isinstance(notice, Notice)
    assert notice.text.startswith("trial 0 is trained again from its start, because 1 of the epochs")


def test_a_trial_without_a_checkpoint_begins_again_in_silence(
    make_ledger: Callable[..., Ledger], listened: Any, tmp_path: Path
) -> None:
    ledger = make_ledger(epoch(1))
    set_aside_unrecorded(ledger, tmp_path, ledger.state.running[0])
    assert listened.records == []
