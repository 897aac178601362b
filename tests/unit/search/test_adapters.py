"""The adapters without a Ray cluster: what Tune would call is called here."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from bmtune.config.space import SearchSpace
from bmtune.records import TrialStarted
from bmtune.search.ledger import Ledger
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

# Importing Ray Tune takes a second.
pytestmark = pytest.mark.slow
OpenLedger = Callable[..., Ledger]


@pytest.fixture
def ledger(make_space: Callable[..., SearchSpace], open_ledger: OpenLedger) -> Ledger:
    return open_ledger(make_space(("trials: 8", "trials: 4"), ("budget:", "run: {time_budget_s: 60}\nbudget:")))


def to_config(started: TrialStarted) -> dict[str, Any]:
    return {"trial": started.trial}


def test_the_searcher_proposes_until_the_budget_is_used(ledger: Ledger, tmp_path: Any) -> None:
    from bmtune.search.adapters import RecordSearcher

    searcher = RecordSearcher(ledger, to_config)
    assert [searcher.suggest(str(number)) for number in range(5)] == [
        {"trial": 0},
        {"trial": 1},
        {"trial": 2},
        {"trial": 3},
        searcher.FINISHED,
    ]
    searcher.save_to_dir(str(tmp_path / "tune"))
    assert not (tmp_path / "tune").exists()


def test_the_scheduler_says_stop_when_a_trial_has_ended(ledger: Ledger) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher

    RecordSearcher(ledger, to_config).suggest("a")
    scheduler = HalvingScheduler(ledger)
    trial = SimpleNamespace(config={"trial": 0})
    going_on = {"report": TrialReport().model_dump_json()}
    assert scheduler.on_trial_result(None, trial, going_on) == "CONTINUE"
    ended = {"report": TrialReport(end=TrialEnd(status="failed", reason="NaN")).model_dump_json()}
    assert scheduler.on_trial_result(None, trial, ended) == "STOP"
    assert ledger.state.study.trials[0].state is TrialState.FAIL


def test_a_lost_process_fails_its_trial_once(ledger: Ledger, tmp_path: Path) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher

    RecordSearcher(ledger, to_config).suggest("a")
    path = tmp_path / "error.txt"
    path.write_text("Failure # 1 (occurred at noon)\nbefore\nFailure # 2 (occurred later)\nthe node is gone\nmore\n")
    lost = [
        SimpleNamespace(config={"trial": 0}, error_file=str(path), should_recover=lambda again=again: again)
        for again in (True, False, False)
    ]
    scheduler = HalvingScheduler(ledger)
    scheduler.on_trial_error(None, lost[0])
    assert 0 in ledger.state.running
    for trial in lost[1:]:
        scheduler.on_trial_error(None, trial)
    end = ledger.state.finished[0].end
    assert (end.status, end.reason) == ("failed", "its process was lost: the node is gone")
    assert end.error == "the node is gone\nmore"


def test_the_stopper_watches_the_clock(ledger: Ledger) -> None:
    from bmtune.search.adapters import SearchStopper

    now = [100.0]
    stopper = SearchStopper(ledger, clock=lambda: now[0])
    now[0] = 159.0
    assert not stopper.stop_all()
    now[0] = 160.0
    assert stopper.stop_all()
    assert stopper.reason == "the time budget of 60 s is over"


def test_no_state_gets_into_tunes_pickles(ledger: Ledger) -> None:
    from bmtune.search.adapters import SearchStopper

    assert type(pickle.loads(pickle.dumps(SearchStopper(ledger)))) is object


def test_a_trial_asks_for_its_processors_and_its_share_of_a_gpu() -> None:
    from bmtune.search.trainable import BornTrial

    ask = BornTrial.default_resource_request
    assert ask({"cpus_per_trial": 2, "gpus_per_trial": 0.0}).required_resources == {"CPU": 2}
    assert ask({"cpus_per_trial": 1, "gpus_per_trial": 0.5}).required_resources == {"CPU": 1, "GPU": 0.5}
