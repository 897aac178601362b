"""Which trial wins where checkpoints are damaged, or the search was broken off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.best import read_best
from bmtune.config.space import SearchSpace
from bmtune.disk_space import Patience
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.ledger import Ledger
from bmtune.search.winner import keep_winner

PATIENCE = Patience(print)


@pytest.fixture
def ledger(make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger]) -> Ledger:
    return open_ledger(make_space(("budget:", "run: {scheduler: none}\nbudget:")))


@pytest.fixture
def train(ledger: Ledger, tmp_path: Path) -> Callable[..., Path]:
    """Trains one epoch of a new trial; its checkpoint of the best cores."""

    def train_one(loss: float, *, ends: bool = True, epoch: int = 1) -> Path:
        started = begin_trial(ledger)
        assert started is not None
        number, metrics = started.trial, {"loss": loss}
        ledger.record(
            Epoch(
                trial=number,
                phase="pre",
                epoch=1,
                budget=1,
                metrics=metrics,
                seconds=0.1,
                eligible=True,
                best_epoch=1,
                best_metrics=metrics,
            )
        )
        path = f"checkpoints/trial-{number:05d}/best"
        facts = {"epoch": epoch, "metrics": {"loss": loss / epoch}, "trial": number, "config": {}}
        write_checkpoint(tmp_path / path, {"cores": torch.full((2,), loss)}, facts)
        ledger.record(CheckpointWritten(trial=number, which="best", budget=1, path=path))
        if ends:
            end_trial(ledger, number, "completed", "done")
        return tmp_path / path

    return train_one


def measured(config: Any, tensors: Any) -> dict[str, float]:
    return {"loss": float(tensors["cores"][0]) + 10}


def test_a_winner_whose_checkpoint_is_damaged_makes_way_for_the_next_best_and_the_user_is_told(
    ledger: Ledger, train: Callable[..., Path], tmp_path: Path
) -> None:
    best = train(1.0)
    train(3.0)
    train(2.0)
    (best / "tensors.safetensors").write_bytes(b"")
    found = keep_winner(ledger, tmp_path, measured, PATIENCE)
    assert found is not None
    assert (found.best.trial, found.best.value, found.best.metrics["test/loss"]) == (2, 2.0, 12.0)
    assert read_best(tmp_path / "best.yaml") == found
    assert read_checkpoint(tmp_path / "best")[0]["cores"].tolist() == [2.0, 2.0]
    told = [record.text for record in read_records(tmp_path / "records.jsonl").records if isinstance(record, Notice)]
    assert len(told) == 1
    assert told[0].startswith("trial 0 was the best one, but cannot win: a checkpoint's files must match")


def test_where_no_checkpoint_is_sound_nobody_wins(ledger: Ledger, train: Callable[..., Path], tmp_path: Path) -> None:
    for loss in (1.0, 2.0):
        (train(loss) / "checkpoint.json").write_text("")
    assert keep_winner(ledger, tmp_path, measured, PATIENCE) is None
    assert not (tmp_path / "best.yaml").exists()


def test_a_trial_that_still_runs_wins_only_where_the_search_was_broken_off(
    ledger: Ledger, train: Callable[..., Path], tmp_path: Path
) -> None:
    train(2.0)
    train(1.0, ends=False)
    winners = [keep_winner(ledger, tmp_path, measured, PATIENCE, unfinished=each) for each in (False, True)]
    assert [winner.best.trial for winner in winners if winner is not None] == [0, 1]


def test_the_value_is_that_of_the_cores_that_are_kept(
    ledger: Ledger, train: Callable[..., Path], tmp_path: Path
) -> None:
    # The host wrote better cores before it was lost; their epoch never reached the records.
    train(4.0, epoch=2)
    found = keep_winner(ledger, tmp_path, measured, PATIENCE)
    assert found is not None
    assert (found.best.epoch, found.best.value, found.best.metrics["loss"]) == (2, 2.0, 2.0)
