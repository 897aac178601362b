from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.view import StudyView
from bmtune.search.view import rebuild

# SQLAlchemy takes a second to import.
pytestmark = pytest.mark.slow


def read(path: Path) -> object:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    return study.user_attrs, [(t.number, t.state, t.params, t.intermediate_values) for t in study.trials]


def test_the_view_holds_the_finished_trials_and_can_be_rebuilt(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    state = open_ledger(make_space()).state
    with closing(StudyView(tmp_path / "study.db", state)) as view:
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
    view = StudyView(tmp_path / "nowhere" / "study.db", state)
    with pytest.raises(OSError, match=r"study\.db could not be written"):
        view.close()


def test_a_long_trial_is_shown_by_values_from_its_first_to_its_last_in_equal_distances(
    make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    state = open_ledger(make_space()).state
    with closing(StudyView(tmp_path / "study.db", state)) as view:
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
