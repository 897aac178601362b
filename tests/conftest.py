"""Fixtures that several kinds of tests share: a small space, a training without numbers, one Ray cluster."""

import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bmtune.config.root import TrialConfig
from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import Listener
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunStarted
from bmtune.search.cluster import ENVIRONMENT
from bmtune.search.cluster import LOCAL_OPTIONS
from bmtune.search.cluster import local_environment
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.trial_run import Saved
from bmtune.training import EpochReport
from bmtune.training import Status

SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 8, max_epochs: 9, eta: 3, grace: 1}
base: {name: plain, data: {dataset: moons_small}}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
  born.bond_dim: {type: int, low: 2, high: 12}
"""


CACHE = pytest.StashKey[str]()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[CACHE], ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    # Ray reads these when it is imported, which some test may do before the first one that needs a cluster.
    os.environ.update(ENVIRONMENT | local_environment())
    # What searches measure of this machine while other tests run is not kept for its user.
    os.environ["XDG_CACHE_HOME"] = config.stash.setdefault(CACHE, tempfile.mkdtemp(prefix="bmtune-tests-"))
    # Ray drops its handles of processes that it has just ended without waiting for them.
    config.addinivalue_line("filterwarnings", "ignore:subprocess [0-9]+ is still running:ResourceWarning")


class FakeTraining:
    """A training whose loss is |log10(lr) + 2| + 1 / epoch; `config.name` chooses what befalls it.

    plain: nothing. raises: an exception at the first epoch. diverges: a loss that is not finite at the second epoch.
    kills: its process ends at the first epoch. paced FOLDER: an epoch takes 20 ms, and the process leaves its number.
    """

    def __init__(self, config: TrialConfig, device: str, saved: Saved | None) -> None:
        self.config = config
        self.epoch = int(saved[1]["epoch"]) if saved else 0

    def advance(self) -> EpochReport:
        if self.config.name == "raises":
            raise RuntimeError(f"no luck with seed {self.config.seed}")
        if self.config.name == "kills":
            os._exit(1)
        if self.config.name.startswith("paced "):
            Path(self.config.name.removeprefix("paced "), str(os.getpid())).touch()
            time.sleep(0.02)
        self.epoch += 1
        lr = self.config.trainer.classification.optimizer.lr
        loss = abs(math.log10(lr) + 2) + 1 / self.epoch
        status = Status.RUNNING
        if self.config.name == "diverges" and self.epoch == 2:
            loss, status = math.nan, Status.DIVERGED
        elif self.epoch == self.config.trainer.classification.max_epoch:
            status = Status.FINISHED
        metrics = {"loss": loss, "acc": 1 - loss / 10}
        diverged = status is Status.DIVERGED
        best = None if diverged else metrics
        return EpochReport(
            "pre", self.epoch, self.epoch, metrics, 0.001, status, not diverged, None if diverged else self.epoch, best
        )

    def last(self) -> Saved:
        return {"cores": torch.full((2,), float(self.epoch))}, {"epoch": self.epoch}

    def best(self) -> dict[str, Tensor]:
        return {"cores": torch.full((2,), float(self.epoch))}


class Listened:
    """A listener that keeps what it heard."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def on_record(self, record: Record) -> None:
        self.records.append(record)

    def epochs(self) -> list[tuple[int, str, int]]:
        return [(record.trial, record.phase, record.epoch) for record in self.records if isinstance(record, Epoch)]


@pytest.fixture
def listened() -> Listened:
    return Listened()


@pytest.fixture(scope="session")
def fake_training() -> type[FakeTraining]:
    return FakeTraining


@pytest.fixture
def make_space(tmp_path: Path) -> Callable[..., SearchSpace]:
    """A space from text in which some pieces were replaced."""

    def make(*replaced: tuple[str, str], text: str = SPACE) -> SearchSpace:
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return load_space(path)

    return make


def header(space: SearchSpace) -> RunStarted:
    return RunStarted(
        run="a-run",
        trainer=space.trainer,
        dataset=space.base.data.dataset,
        data_hash="0",
        objective=Objective(metric=space.objective.name, mode=space.objective.direction),
        trials=space.budget.trials,
        max_epochs=space.budget.max_epochs,
        seed=space.run.seed,
        bmtune="0",
        time=1.5,
    )


@pytest.fixture
def open_ledger(tmp_path: Path) -> Iterator[Callable[..., Ledger]]:
    """A ledger over a new state, or over a given one, whose file is closed at the end."""
    with ExitStack() as stack:

        def make(state: SearchState | SearchSpace, *listeners: Listener, name: str = "records.jsonl") -> Ledger:
            writer = stack.enter_context(RecordWriter(tmp_path / name))
            if isinstance(state, SearchState):
                return Ledger(state, writer, listeners)
            ledger = Ledger(SearchState(state), writer, listeners)
            ledger.record(header(state))
            return ledger

        yield make


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The one Ray of the test run: two processors, loopback, no dashboard."""
    import ray

    # Trial processes cannot import this file.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    # Ray's sockets have long names and the operating system allows 107 characters.
    ray.init(**LOCAL_OPTIONS, num_cpus=2, _temp_dir=str(tmp_path_factory.mktemp("ray")))
    yield ray
    ray.shutdown()
