from pathlib import Path

import pytest

from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import RecordWriter
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted


def epoch(trial, phase, number, **metrics):
    named = {name.replace("train_", "train/"): value for name, value in metrics.items()}
    return Epoch(trial=trial, phase=phase, epoch=number, budget=0, metrics=named, seconds=0.5, eligible=True)


def finished(trial, value, status="completed"):
    metrics = None if value is None else {"fid": value, "acc": 0.9}
    return TrialFinished(
        trial=trial, status=status, reason="so", value=value, best_epoch=1, best_metrics=metrics, time=1.0
    )


SEARCH = [
    RunStarted(
        run="night",
        trainer="gan",
        dataset="moons_4k",
        data_hash="0",
        objective=Objective(metric="fid", mode="min"),
        trials=3,
        max_epochs=2,
        seed=0,
        bmtune="0.1.0",
        time=12.5,
    ),
    TrialStarted(trial=0, params={"born.bond_dim": 4}, seed=100, time=0.0),
    epoch(0, "pre", 1, train_loss=0.6, acc=0.8),
    TrialStarted(trial=1, params={"born.bond_dim": 6}, seed=101, time=0.0),
    epoch(0, "critic", 1, train_d_loss=1.4),
    epoch(0, "gan", 1, train_g_loss=0.7, train_d_loss=1.3, fid=0.02),
    epoch(0, "re", 1, train_loss=0.3, acc=0.95),
    epoch(0, "gan", 2, train_g_loss=0.8, train_d_loss=1.2, fid=0.01),
    epoch(1, "pre", 1, train_loss=0.5, acc=0.85),
    finished(0, 0.01),
    epoch(1, "gan", 1, train_g_loss=0.7, fid=0.001),
    Rung(trial=1, rung=1, value=0.001, decision="stop"),
    finished(1, 0.001, "pruned"),
    TrialStarted(trial=2, params={"born.bond_dim": 8}, seed=102, time=0.0),
    finished(2, None, "failed"),
    RunFinished(reason="all trials ended", best=0, test_metrics={"acc": 0.97, "fid": 0.012}, time=9.0),
]


@pytest.fixture
def search_records():
    """A GAN search of three trials: one survives, one is stopped though its value is better, one fails."""
    return list(SEARCH)


@pytest.fixture
def run_folder(tmp_path: Path):
    """Writes records to a run folder."""

    def write(records):
        folder = tmp_path / "night"
        folder.mkdir(exist_ok=True)
        with RecordWriter(folder / "records.jsonl") as writer:
            for record in records:
                writer.write(record)
        return folder

    return write
