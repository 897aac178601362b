"""The conduct of a search on records alone; the D numbers are faults that the stock Ray and Optuna pair has."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import PretrainingShared
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_trial
from bmtune.search.conduct import failing_alike
from bmtune.search.conduct import take_report
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

MakeSpace = Callable[..., SearchSpace]
DONE = TrialEnd(status="completed", reason="all epochs were trained")
DIVERGED = TrialEnd(status="failed", reason="a loss is no longer finite")


OpenLedger = Callable[..., Ledger]


@pytest.fixture
def ledger(make_space: MakeSpace, open_ledger: OpenLedger) -> Ledger:
    return open_ledger(make_space(("trials: 8", "trials: 20"), ("budget:", "run: {halving: stop}\nbudget:")))


def epoch(trial: int, number: int, loss: float, best: float | None, *, eligible: bool = True) -> Epoch:
    return Epoch(
        trial=trial,
        phase="pre",
        epoch=number,
        budget=number,
        metrics={"acc": 0.5, "loss": loss, "fid": 3.0},
        seconds=0.1,
        eligible=eligible,
        best_epoch=None if best is None else number,
        best_metrics=None if best is None else {"loss": best},
    )


def report(ledger: Ledger, trial: int, number: int, loss: float, end: TrialEnd | None = None) -> str:
    finite = math.isfinite(loss)
    epochs = (epoch(trial, number, loss, loss if finite else None, eligible=finite),)
    return take_report(ledger, trial, TrialReport(epochs=epochs, end=end))


def begin(ledger: Ledger) -> int:
    started = begin_trial(ledger)
    assert started is not None
    return started.trial


def test_d1_a_stopped_trial_is_pruned_with_every_value_it_reported(ledger: Ledger) -> None:
    for value in (1.0, 2.0):
        assert report(ledger, begin(ledger), 1, value) == "continue"
    third = begin(ledger)
    assert report(ledger, third, 1, 0.5) == "continue"
    assert report(ledger, third, 2, 0.4) == "continue"
    for trial in (0, 1):
        assert report(ledger, trial, 3, 0.3 - trial / 10) == "continue"
    assert report(ledger, third, 3, 9.0) == "stop"
    seen = ledger.state.study.trials[third]
    assert seen.state is TrialState.PRUNED
    assert seen.intermediate_values == {1: 0.5, 2: 0.4, 3: 9.0}
    assert ledger.state.finished[third].end.reason == "stopped at rung 3"


def test_d2_a_trial_that_is_not_finite_fails_at_once(ledger: Ledger) -> None:
    trial = begin(ledger)
    assert report(ledger, trial, 1, math.nan, DIVERGED) == "stop"
    assert ledger.state.study.trials[trial].state is TrialState.FAIL
    assert trial not in ledger.state.running


def test_d2_a_trial_without_a_value_at_a_rung_is_stopped(ledger: Ledger) -> None:
    trial = begin(ledger)
    without = TrialReport(epochs=(epoch(trial, 1, 1.0, None, eligible=False),))
    assert take_report(ledger, trial, without) == "stop"
    assert ledger.state.study.trials[trial].state is TrialState.PRUNED


def test_d3_no_trial_stays_running_after_a_last_value_that_is_not_finite(ledger: Ledger) -> None:
    for loss in (math.nan, math.inf):
        trial = begin(ledger)
        report(ledger, trial, 1, loss, DONE)
    assert [trial.state for trial in ledger.state.study.trials] == [TrialState.FAIL, TrialState.FAIL]


def test_d4_nothing_is_stopped_on_the_evidence_of_fewer_than_eta(ledger: Ledger) -> None:
    assert report(ledger, begin(ledger), 1, 1.0) == "continue"
    assert report(ledger, begin(ledger), 1, 99.0) == "continue"
    assert report(ledger, begin(ledger), 1, 98.0) == "stop"


def test_d6_values_reach_the_study_whatever_else_is_measured(ledger: Ledger) -> None:
    trial = begin(ledger)
    report(ledger, trial, 1, 0.7)
    assert ledger.state.study.trials[trial].intermediate_values == {1: 0.7}


def test_d8_a_lucky_epoch_of_a_stopped_trial_does_not_win(ledger: Ledger) -> None:
    for trial, value in enumerate((0.3, 0.4, 0.01)):
        assert begin(ledger) == trial
        report(ledger, trial, 1, value)
    report(ledger, 0, 3, 0.2)
    report(ledger, 1, 3, 0.1)
    ledger.record(epoch(2, 2, 0.001, 0.001))
    assert take_report(ledger, 2, TrialReport(epochs=(epoch(2, 3, 9.0, 9.0),))) == "stop"
    for trial in (0, 1):
        end_trial(ledger, trial, "completed", "done")
    best = ledger.state.best
    assert best is not None
    assert best.run.number == 1


def test_where_halving_stopped_every_trial_the_best_of_them_wins(ledger: Ledger) -> None:
    for value in (1.0, 2.0):
        report(ledger, begin(ledger), 1, value)
    report(ledger, begin(ledger), 1, 3.0)
    for trial in (0, 1):
        report(ledger, trial, 2, math.nan, DIVERGED)
    assert ledger.state.best is not None
    assert ledger.state.best.run.number == 2


def test_without_halving_no_rung_decides(make_space: MakeSpace, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(make_space(("budget:", "run: {scheduler: none}\nbudget:")))
    for value in (1.0, 2.0, 3.0, 4.0):
        assert report(ledger, begin(ledger), 1, value) == "continue"
    assert not any(ledger.state.arrivals.values())


def test_an_epoch_that_was_recorded_already_is_not_recorded_again(ledger: Ledger, tmp_path: Path) -> None:
    trial = begin(ledger)
    report(ledger, trial, 1, 1.0)
    again = TrialReport(epochs=(epoch(trial, 1, 1.0, 1.0), epoch(trial, 2, 0.5, 0.5)))
    take_report(ledger, trial, again)
    records = read_records(tmp_path / "records.jsonl").records
    assert [record.epoch for record in records if isinstance(record, Epoch)] == [1, 2]
    assert [arrival[:2] for arrival in ledger.state.arrivals[1]] == [(trial, 1.0)]


def test_an_epoch_counts_with_the_report_that_finishes_it(ledger: Ledger) -> None:
    trial = begin(ledger)
    interrupted = epoch(trial, 1, 0.9, None).model_copy(update={"budget": 0, "eligible": False})
    retrained = epoch(trial, 1, 0.4, 0.4).model_copy(update={"phase": "re"})
    take_report(ledger, trial, TrialReport(epochs=(interrupted,)))
    assert ledger.state.arrivals[1] == []
    take_report(ledger, trial, TrialReport(epochs=(retrained,)))
    assert [arrival[:2] for arrival in ledger.state.arrivals[1]] == [(trial, 0.4)]
    assert ledger.state.study.trials[trial].intermediate_values == {1: 0.4}


def test_shared_pretraining_is_recorded_once_and_before_the_epochs(ledger: Ledger, tmp_path: Path) -> None:
    trial = begin(ledger)
    shared = PretrainingShared(
        trial=trial, key="ab", from_run="a-run", from_trial=0, epochs=2, metrics={"start/loss": 1.0}
    )
    # A trial that was lost before its first checkpoint takes it again.
    for number in (1, 2):
        take_report(ledger, trial, TrialReport(shared=shared, epochs=(epoch(trial, number, 1.0, 1.0),)))
    records = read_records(tmp_path / "records.jsonl").records
    kinds = [record.kind for record in records if record.kind in ("pretraining_shared", "epoch")]
    assert kinds == ["pretraining_shared", "epoch", "epoch"]
    assert ledger.state.running[trial].shared
    replayed = SearchState.replay(ledger.state.space, records)
    assert snapshot(replayed) == snapshot(ledger.state)


def test_what_a_report_has_to_say_is_recorded(ledger: Ledger, tmp_path: Path) -> None:
    trial = begin(ledger)
    take_report(ledger, trial, TrialReport(notices=("the first", "the second"), epochs=(epoch(trial, 1, 1.0, 1.0),)))
    records = read_records(tmp_path / "records.jsonl").records
    assert [record.text for record in records if isinstance(record, Notice)] == ["the first", "the second"]


def test_a_completed_trial_without_a_value_has_failed(ledger: Ledger) -> None:
    trial = begin(ledger)
    take_report(ledger, trial, TrialReport(end=DONE))
    assert ledger.state.finished[trial].end.status == "failed"


def test_no_more_trials_than_the_budget(make_space: MakeSpace, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(make_space(("trials: 8", "trials: 2")))
    assert [begin_trial(ledger) is not None for _ in range(4)] == [True, True, False, False]


def failed(ledger: Ledger, reason: str) -> None:
    trial = begin(ledger)
    end = TrialEnd(status="failed", reason=reason, error="Traceback")
    take_report(ledger, trial, TrialReport(end=end))


def test_three_first_failures_alike_are_noticed_whatever_numbers_they_name(ledger: Ledger) -> None:
    for shape in (3, 4):
        failed(ledger, f"ValueError: shape {shape}")
    assert failing_alike(list(ledger.state.finished.values())) is None
    failed(ledger, "ValueError: shape 5")
    assert failing_alike(list(ledger.state.finished.values())) == "ValueError: shape 3"


def test_failures_that_differ_or_come_later_do_not_stop_a_search(ledger: Ledger) -> None:
    for reason in ("ValueError: a", "KeyError: b", "ValueError: a", "ValueError: a"):
        failed(ledger, reason)
    assert failing_alike(list(ledger.state.finished.values())) is None


def snapshot(state: SearchState) -> object:
    trials = [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in state.study.trials]
    return trials, state.arrivals, state.paused, state.best, state.running, state.finished


def test_a_replay_gives_the_same_study_rungs_and_best(ledger: Ledger, tmp_path: Path) -> None:
    """Sixteen trials: some go on, some are stopped, one diverges, one raises, two are left running."""
    for _ in range(16):
        trial = begin(ledger)
        if trial == 3:
            report(ledger, trial, 1, math.nan, DIVERGED)
        elif trial == 4:
            failed(ledger, "ValueError: x")
        elif trial % 7 != 6:
            for number in range(1, 10):
                if report(ledger, trial, number, (trial * 5 % 11) / number, DONE if number == 9 else None) == "stop":
                    break
        if ledger.state.num_started >= 16:
            break
    live = ledger.state
    assert {trial.state for trial in live.study.trials} == set(TrialState) - {TrialState.WAITING}
    replayed = SearchState.replay(live.space, read_records(tmp_path / "records.jsonl").records)
    assert snapshot(replayed) == snapshot(live)


def test_a_replayed_search_goes_on_with_the_same_proposals(
    ledger: Ledger, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    for _ in range(14):
        trial = begin(ledger)
        report(ledger, trial, 9, trial * 5 % 11, DONE)
    begin(ledger)
    replayed = SearchState.replay(ledger.state.space, read_records(tmp_path / "records.jsonl").records)
    elsewhere = open_ledger(replayed, name="elsewhere.jsonl")
    first, second = begin_trial(ledger), begin_trial(elsewhere)
    assert first is not None
    assert second is not None
    assert first.params == second.params


def test_records_that_cannot_follow_are_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="trial 0 must be running"):
        ledger.state.apply(epoch(0, 1, 1.0, 1.0))
