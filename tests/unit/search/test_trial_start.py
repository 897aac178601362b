"""A trial whose newest checkpoints are damaged: it goes on from an older one, and its records do not show it."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bmtune.audit import audit
from bmtune.checkpoints import read_checkpoint
from bmtune.config.space import SearchSpace
from bmtune.errors import FormatError
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import take_report
from bmtune.search.ledger import Ledger
from bmtune.search.solo import SoloTraining
from bmtune.search.trial_alone import TrialRun
from bmtune.search.trial_run import Task
from bmtune.search.trial_start import epoch_to_go_on_from
from bmtune.search.trial_start import start_of
from bmtune.search.winner import trial_config

Damage = Callable[[Path], object]


def tear(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-20])


class Trial:
    """A trial and its ledger; each `begin` is another process that trains it."""

    def __init__(self, ledger: Ledger, folder: Path, training: Any, rungs: tuple[int, ...]) -> None:
        self.ledger = ledger
        self.folder = folder
        self._training = training
        started = begin_trial(ledger)
        assert started is not None
        self._task = Task(
            trial=started.trial,
            config=trial_config(ledger.state, started.params, started.seed),
            run_folder=str(folder),
            rungs=rungs,
            report_every_s=0.0,
        )
        self.last = folder / self._task.checkpoint_path("last")
        self.best = folder / self._task.checkpoint_path("best")
        self.begin()

    def begin(self) -> None:
        clock = count()
        self._run = TrialRun(self._task, self._training, lambda: float(next(clock)))

    def train(self, *, until: int) -> None:
        """Takes reports until the records hold so many epochs; all of it where that is the last one."""
        while (trial := self.ledger.state.running.get(0)) is not None and trial.budget < until:
            take_report(self.ledger, 0, self._run.next_report())

    def metrics(self) -> list[tuple[str, int, dict[str, float], int | None]]:
        return [(r.phase, r.epoch, r.metrics, r.best_epoch) for r in self.records() if isinstance(r, Epoch)]

    def records(self) -> tuple[Any, ...]:
        return read_records(self.folder / "records.jsonl").records

    def notices(self) -> list[str]:
        return [record.text for record in self.records() if isinstance(record, Notice)]


@pytest.fixture
def make_trial(make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path) -> Any:
    space = make_space(("trials: 8", "trials: 1"), ("budget:", "run: {scheduler: none}\nbudget:"))

    def make(name: str, training: Any = SoloTraining, rungs: tuple[int, ...] = (2, 4)) -> Trial:
        (tmp_path / name).mkdir()
        return Trial(open_ledger(space, name=f"{name}/records.jsonl"), tmp_path / name, training, rungs)

    return make


@pytest.mark.parametrize(
    ("damaged", "where"),
    [(("last",), "from epoch 2"), (("last", ".last.previous"), "from epoch 0, because no sound one is left")],
    ids=["the newest", "both"],
)
def test_a_real_trial_that_goes_back_ends_with_the_records_of_one_that_did_not(
    make_trial: Any, damaged: tuple[str, ...], where: str
) -> None:
    whole = make_trial("whole")
    whole.train(until=9)
    trial = make_trial("damaged")
    trial.train(until=6)
    before = trial.metrics()
    for name in damaged:
        tear(trial.last.with_name(name))
    trial.begin()
    trial.train(until=9)
    assert len(before) == 6
    assert trial.metrics() == whole.metrics()
    assert len(trial.metrics()) == 9
    assert audit(trial.records()) == []
    assert len(trial.notices()) == len(damaged)
    assert all(text.startswith(f"trial 0 goes on {where}: a checkpoint's files must match") for text in trial.notices())
    (first, facts), (second, other) = (read_checkpoint(each.best) for each in (whole, trial))
    assert facts == other
    assert all(first[name].equal(second[name]) for name in first)


def test_better_cores_are_not_replaced_by_those_that_a_trial_finds_again_on_its_way(
    make_trial: Any, fake_training: Any
) -> None:
    trial = make_trial("a", fake_training, (2,))
    trial.train(until=6)
    assert read_checkpoint(trial.best)[1]["epoch"] == 6
    trial.begin()
    # It goes on from the second epoch: the records have the next four already.
    for _ in range(4):
        take_report(trial.ledger, 0, trial._run.next_report())
    assert read_checkpoint(trial.best)[1]["epoch"] == 6
    trial.train(until=9)
    assert read_checkpoint(trial.best)[1]["epoch"] == 9
    assert audit(trial.records()) == []


def test_damaged_best_cores_are_written_anew(make_trial: Any, fake_training: Any) -> None:
    trial = make_trial("a", fake_training, (2,))
    trial.train(until=2)
    tear(trial.best)
    trial.begin()
    trial.train(until=3)
    assert read_checkpoint(trial.best)[1]["epoch"] == 3


def test_a_checkpoint_of_an_unknown_version_is_refused(make_trial: Any, fake_training: Any) -> None:
    trial = make_trial("a", fake_training, (2,))
    trial.train(until=2)
    path = trial.last / "checkpoint.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(FormatError, match="version 9"):
        trial.begin()


def test_where_a_trial_would_go_on_is_told_without_touching_anything(make_trial: Any, fake_training: Any) -> None:
    trial = make_trial("a", fake_training)
    assert epoch_to_go_on_from(trial.last) == 0
    trial.train(until=5)
    assert epoch_to_go_on_from(trial.last) == 4
    tear(trial.last)
    assert epoch_to_go_on_from(trial.last) is None
    start = start_of(0, trial.last, trial.best)
    assert start.saved is not None
    assert start.saved[1]["budget"] == 2
    assert start.best_epoch == 5
    # What was damaged lies aside, for whoever wants to know why.
    assert (trial.last.with_name(".last.damaged") / "checkpoint.json").exists()


def test_a_trial_that_is_broken_off_writes_what_it_needs_to_lose_nothing(make_trial: Any, fake_training: Any) -> None:
    trial = make_trial("a", fake_training, ())
    trial.train(until=5)
    assert trial._run.close().epochs == ()
    assert epoch_to_go_on_from(trial.last) == 5
    trial.begin()
    trial.train(until=9)
    assert [epoch for _, epoch, *_ in trial.metrics()] == list(range(1, 10))
