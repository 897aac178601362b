import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from bmtune.config.space import SearchSpace
from bmtune.disk_space import Patience
from bmtune.errors import StoppedBySignalError
from bmtune.records import Epoch
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.view import StudyView
from bmtune.search.view import rebuild

PATIENCE = Patience(lambda text: None)

# SQLAlchemy takes a second to import.
pytestmark = pytest.mark.slow


def read(path: Path) -> object:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    return study.user_attrs, [(t.number, t.state, t.params, t.intermediate_values) for t in study.trials]


def test_the_view_holds_the_finished_trials_and_can_be_rebuilt(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    state = open_ledger(make_space()).state
    with closing(StudyView(tmp_path / "study.db", state, PATIENCE)) as view:
        ledger = open_ledger(state, view)
        for _ in range(3):
            begin_trial(ledger)
        end_trial(ledger, 0, "failed", "x")
        end_trial(ledger, 1, "pruned", "y")
    before = read(tmp_path / "study.db")
    rebuild(tmp_path / "study.db", SearchState.replay(state.space, read_records(tmp_path / "records.jsonl").records))
    assert read(tmp_path / "study.db") == before
    attributes, trials = before  # type: ignore[misc]
    assert attributes["run"] == "a-run"
    assert [trial[1].name for trial in trials] == ["FAIL", "PRUNED"]


def test_a_view_that_cannot_be_written_says_so_at_the_end(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    state = open_ledger(make_space()).state
    view = StudyView(tmp_path / "nowhere" / "study.db", state, PATIENCE)
    view.close()
    assert view.problem is not None
    assert view.problem.startswith("study.db does not hold all trials: ")


def test_a_long_trial_is_shown_by_values_from_its_first_to_its_last_in_equal_distances(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    state = open_ledger(make_space()).state
    with closing(StudyView(tmp_path / "study.db", state, PATIENCE)) as view:
        ledger = open_ledger(state, view)
        for trial, epochs in ((0, 10), (1, 91)):
            begin_trial(ledger)
            for number in range(1, epochs + 1):
                ledger.record(
                    Epoch(
                        trial=trial,
                        phase="pre",
                        epoch=number,
                        budget=number,
                        metrics={"loss": 1 / number},
                        seconds=0.1,
                        eligible=True,
                        best_epoch=number,
                        best_metrics={"loss": 1 / number},
                    )
                )
            end_trial(ledger, trial, "completed", "done")
    _, trials = read(tmp_path / "study.db")  # type: ignore[misc]
    assert [list(trial[3]) for trial in trials] == [list(range(1, 11)), list(range(1, 92, 10))]
    assert trials[1][3][91] == pytest.approx(1 / 91)
    # The study that proposals are made from has them all.
    assert list(state.study.trials[1].intermediate_values) == list(range(1, 92))


class FullDisk:
    """A study that is refused by a full disk some times, after half of it was written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
        self.refusals = refusals
        self.refused = 0
        self._really = optuna.Study.add_trials
        monkeypatch.setattr(optuna.Study, "add_trials", lambda study, trials: self.add(study, list(trials)))

    def add(self, study: optuna.Study, trials: list[optuna.trial.FrozenTrial]) -> None:
        if trials and self.refused < self.refusals:
            self.refused += 1
            self._really(study, trials[:1])
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise RuntimeError("wrapped") from error
        self._really(study, trials)


def test_a_view_that_meets_a_full_disk_waits_and_holds_every_trial_once(
    make_space: Callable[..., SearchSpace],
    open_ledger: Callable[..., Ledger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state, told = open_ledger(make_space()).state, list[str]()
    disk = FullDisk(monkeypatch, refusals=2)
    patience = Patience(told.append, lambda seconds: None)
    with closing(StudyView(tmp_path / "study.db", state, patience)) as view:
        ledger = open_ledger(state, view)
        for number in range(3):
            begin_trial(ledger)
            end_trial(ledger, number, "failed", "x")
    assert disk.refused == 2
    assert view.problem is None
    assert told[0].startswith("the disk is full: study.db cannot be written")
    _, trials = read(tmp_path / "study.db")  # type: ignore[misc]
    assert [trial[0] for trial in trials] == [0, 1, 2]


def test_a_view_that_still_meets_a_full_disk_when_the_search_is_interrupted_gives_up(
    make_space: Callable[..., SearchSpace],
    open_ledger: Callable[..., Ledger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(seconds: float) -> None:
        raise StoppedBySignalError(2)

    state = open_ledger(make_space()).state
    disk = FullDisk(monkeypatch, refusals=9)
    with closing(StudyView(tmp_path / "study.db", state, Patience(lambda text: None, interrupted))) as view:
        ledger = open_ledger(state, view)
        begin_trial(ledger)
        end_trial(ledger, 0, "failed", "x")
    assert disk.refused == 1
    assert view.problem == "study.db does not hold all trials: the disk was full"


def test_a_view_of_a_search_that_goes_on_begins_with_the_trials_that_ended_before(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger(make_space())
    for number in range(2):
        begin_trial(ledger)
        end_trial(ledger, number, "failed", "x")
    with closing(StudyView(tmp_path / "study.db", ledger.state, PATIENCE)) as view:
        again = open_ledger(ledger.state, view)
        begin_trial(again)
        end_trial(again, 2, "pruned", "y")
    _, trials = read(tmp_path / "study.db")  # type: ignore[misc]
    assert [trial[1].name for trial in trials] == ["FAIL", "FAIL", "PRUNED"]
