"""The conduct of a search whose trials pause at rungs and go on later, on records alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import end_remaining
from bmtune.search.conduct import end_trial
from bmtune.search.conduct import promote_trial
from bmtune.search.conduct import take_report
from bmtune.search.halving import Arrival
from bmtune.search.ledger import Ledger
from bmtune.search.proposals import propose
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

DONE = TrialEnd(status="completed", reason="all epochs were trained")
OpenLedger = Callable[..., Ledger]


@pytest.fixture
def make_ledger(make_space: Callable[..., SearchSpace], open_ledger: OpenLedger) -> Callable[[int], Ledger]:
    """A search over rungs 1 and 3 and the end at 9, of which one in 3 goes on."""

    def make(trials: int) -> Ledger:
        promote = ("budget:", "run: {halving: promote}\nbudget:")
        return open_ledger(make_space(("trials: 8", f"trials: {trials}"), promote))

    return make


def train(ledger: Ledger, trial: int, loss: float, to: int = 1) -> str:
    """Trains a trial up to an epoch and reports; every epoch has the same loss."""
    done = ledger.state.running[trial].budget
    epochs = tuple(
        Epoch(
            trial=trial,
            phase="pre",
            epoch=number,
            budget=number,
            metrics={"loss": loss},
            seconds=0.1,
            eligible=True,
            best_epoch=number,
            best_metrics={"loss": loss},
        )
        for number in range(done + 1, to + 1)
    )
    return take_report(ledger, trial, TrialReport(epochs=epochs, end=DONE if to == 9 else None))


def start(ledger: Ledger, *losses: float) -> list[str]:
    """Starts a trial for each loss and trains it up to the first rung."""
    said = []
    for loss in losses:
        started = begin_trial(ledger)
        assert started is not None
        said.append(train(ledger, started.trial, loss))
    return said


def test_trials_pause_until_one_in_eta_of_their_rung_goes_on(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(20)
    assert start(ledger, 3.0, 1.0) == ["pause", "pause"]
    assert promote_trial(ledger) is None
    # The third result makes the second trial promotable, not the third.
    assert start(ledger, 2.0) == ["pause"]
    assert ledger.state.num_active == 0
    assert promote_trial(ledger) == 1
    assert promote_trial(ledger) is None
    assert ledger.state.num_active == 1
    assert ledger.state.paused == {0: 1, 2: 1}


def test_a_trial_that_is_promotable_as_it_arrives_goes_on_at_once(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(20)
    assert start(ledger, 3.0, 2.0, 1.0) == ["pause", "pause", "continue"]
    assert [arrival[:2] for arrival in ledger.state.arrivals[1]] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert ledger.state.running[2].stopped_at is None


def test_the_highest_rung_is_served_first_and_a_lower_arrival_waits_for_it(
    make_ledger: Callable[[int], Ledger],
) -> None:
    ledger = make_ledger(20)
    start(ledger, *(float(9 - number) for number in range(9)))
    # 2, 5 and 8 went on; two of them reach rung 3 and pause, the third makes the first promotable there.
    assert [train(ledger, trial, loss, 3) for trial, loss in ((2, 0.1), (5, 0.2))] == ["pause", "pause"]
    assert train(ledger, 8, 0.3, 3) == "pause"
    assert ledger.state.promotion == (2, 3)
    started = begin_trial(ledger)
    assert started is not None
    # It would be promotable at rung 1 from the next results on, and its place belongs to trial 2.
    assert train(ledger, started.trial, 0.01) == "pause"
    assert promote_trial(ledger) == 2
    assert ledger.state.promotion == (started.trial, 1)


def test_a_paused_trial_goes_on_without_a_gap_and_its_end_counts(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(3)
    start(ledger, 1.0, 2.0, 3.0)
    assert promote_trial(ledger) == 0
    assert train(ledger, 0, 0.9, 3) == "pause"
    # One arrival alone is no third of a rung; it goes on because nothing else is left to train.
    assert promote_trial(ledger) == 0
    assert train(ledger, 0, 0.8, 9) == "stop"
    assert ledger.state.is_over
    end_remaining(ledger, None)
    ends = {number: trial.end for number, trial in ledger.state.finished.items()}
    assert (ends[0].status, ends[0].value) == ("completed", 0.8)
    for number, value in ((1, 2.0), (2, 3.0)):
        assert (ends[number].status, ends[number].value) == ("pruned", value)
        assert ends[number].reason == "paused at rung 1; not among the best 1/3 there"
    assert ledger.state.best is not None
    assert ledger.state.best.run.number == 0


def test_where_the_best_fails_the_next_goes_on_until_one_went_through(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(2)
    start(ledger, 1.0, 2.0)
    assert promote_trial(ledger) == 0
    assert ledger.state.promotion is None
    end_trial(ledger, 0, "failed", "a loss is no longer finite")
    assert promote_trial(ledger) == 1
    train(ledger, 1, 2.0, 9)
    assert ledger.state.is_over


def test_a_search_goes_on_while_trials_may_start(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(4)
    start(ledger, 1.0, 2.0)
    assert not ledger.state.is_over
    assert ledger.state.promotion is None


def test_a_value_that_cannot_be_compared_ends_its_trial_and_counts_as_seen(
    make_ledger: Callable[[int], Ledger],
) -> None:
    ledger = make_ledger(20)
    start(ledger, 1.0, 2.0)
    third = begin_trial(ledger)
    assert third is not None
    epoch = Epoch(trial=third.trial, phase="pre", epoch=1, budget=1, metrics={"loss": 5.0}, seconds=0.1, eligible=False)
    assert take_report(ledger, third.trial, TrialReport(epochs=(epoch,))) == "stop"
    assert ledger.state.finished[third.trial].end.reason == "stopped at rung 1"
    assert promote_trial(ledger) == 0


def test_the_best_of_a_search_whose_time_is_over_has_passed_most_rungs(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(20)
    start(ledger, 0.9, 0.5, 0.7)
    assert promote_trial(ledger) == 1
    assert train(ledger, 1, 0.5, 3) == "pause"
    lucky = begin_trial(ledger)
    assert lucky is not None
    ledger.record(
        Epoch(
            trial=lucky.trial,
            phase="pre",
            epoch=1,
            budget=0,
            metrics={"loss": 0.01},
            seconds=0.1,
            eligible=True,
            best_epoch=1,
            best_metrics={"loss": 0.01},
        )
    )
    end_remaining(ledger, "the time budget of 60 s is over")
    assert ledger.state.best is not None
    assert ledger.state.best.run.number == 1
    assert ledger.state.best.end.reason == "paused at rung 3; the time budget of 60 s is over"
    assert ledger.state.finished[lucky.trial].end.reason == "the time budget of 60 s is over"


def test_a_paused_trial_may_be_the_best_before_any_has_ended(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(20)
    start(ledger, 0.9, 0.5)
    assert not ledger.state.finished
    assert ledger.state.best is not None
    assert (ledger.state.best.run.number, ledger.state.best.end.value) == (1, 0.5)
    assert ledger.state.count("pruned") == 0


def snapshot(state: SearchState) -> object:
    trials = [(t.number, t.state, t.params, t.values, t.intermediate_values) for t in state.study.trials]
    return trials, state.arrivals, state.paused, state.promotion, state.best, state.running, state.finished


def search(ledger: Ledger) -> None:
    """A whole search with one lane, and one trial that fails after its promotion."""
    while not ledger.state.is_over:
        number = promote_trial(ledger)
        if number is None:
            started = begin_trial(ledger)
            assert started is not None
            number = started.trial
        while True:
            to = {0: 1, 1: 3, 3: 9}[ledger.state.running[number].budget]
            if number == 4 and to == 9:
                end_trial(ledger, number, "failed", "x")
                break
            if train(ledger, number, (number * 5 % 11) + 1 / to, to) != "continue":
                break
    end_remaining(ledger, None)


def test_a_replay_gives_the_same_state_after_every_record(make_ledger: Callable[[int], Ledger], tmp_path: Path) -> None:
    ledger = make_ledger(22)
    search(ledger)
    records = read_records(tmp_path / "records.jsonl").records
    kinds = {record.decision if isinstance(record, Rung) else record.kind for record in records}
    assert kinds >= {"promote", "pause", "trial_promoted"}
    state = SearchState(ledger.state.space)
    for position, record in enumerate(records):
        if isinstance(record, Rung):
            assert state.decision_at(Arrival(record.trial, record.value), record.rung) == record.decision
        if isinstance(record, TrialPromoted):
            assert state.promotion == (record.trial, record.rung)
        state.apply(record)
        if position % 7 == 0:
            assert snapshot(SearchState.replay(state.space, records[: position + 1])) == snapshot(state)
    assert snapshot(state) == snapshot(ledger.state)


def test_no_epoch_is_recorded_twice_and_no_trial_leaves_a_rung_twice(
    make_ledger: Callable[[int], Ledger], tmp_path: Path
) -> None:
    search(make_ledger(22))
    records = read_records(tmp_path / "records.jsonl").records
    epochs = [(record.trial, record.epoch) for record in records if isinstance(record, Epoch)]
    assert len(set(epochs)) == len(epochs)
    left = [
        (record.trial, record.rung)
        for record in records
        if isinstance(record, TrialPromoted) or (isinstance(record, Rung) and record.decision == "promote")
    ]
    assert len(set(left)) == len(left)
    assert sum(isinstance(record, TrialFinished) for record in records) == 22


@pytest.mark.parametrize("rung", [3, 1])
def test_a_promotion_that_cannot_follow_is_refused(make_ledger: Callable[[int], Ledger], rung: int) -> None:
    ledger = make_ledger(5)
    start(ledger, 1.0, 2.0, 0.5)
    record = TrialPromoted(trial=2 if rung == 1 else 0, rung=rung, time=0.0)
    with pytest.raises(ValueError, match=f"must be paused at rung {rung}"):
        ledger.state.apply(record)


def told(state: SearchState) -> optuna.Study:
    """A study in which every paused trial was told as pruned."""
    study = optuna.create_study(direction="minimize")
    for trial in state.study.get_trials():
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.PRUNED,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=trial.intermediate_values,
                value=trial.intermediate_values[max(trial.intermediate_values)],
            )
        )
    return study


def test_the_sampler_learns_from_paused_trials_as_from_pruned_ones(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(60)
    start(ledger, *(float(number * 7 % 13) for number in range(20)))
    state = ledger.state
    reference = told(state)
    # Trials that went on at once are shown with what they had at their rung too.
    assert {trial.state for trial in state.study.trials} == {TrialState.PRUNED}
    assert len(state.study.get_trials(states=(TrialState.PRUNED,))) == 20
    assert state.study.get_trials(states=(TrialState.RUNNING,)) == []
    assert [trial.value for trial in state.study.trials] == [trial.value for trial in reference.trials]
    blind = optuna.create_study(direction="minimize")
    for trial in reference.trials:
        blind.add_trial(
            optuna.trial.create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)
        )
    proposed = propose(state.study, state.space, 0)
    assert proposed == propose(reference, state.space, 0)
    assert proposed != propose(blind, state.space, 0)


def test_a_paused_trial_can_still_be_told_complete(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(3)
    start(ledger, 1.0, 2.0, 3.0)
    promote_trial(ledger)
    train(ledger, 0, 0.9, 3)
    promote_trial(ledger)
    # While it runs, the study shows what it had at its last rung, so that it does not count as a bad one.
    running: Any = ledger.state.study.trials[0]
    assert (running.state, running.intermediate_values) == (TrialState.PRUNED, {1: 1.0, 2: 0.9, 3: 0.9})
    train(ledger, 0, 0.8, 9)
    ended: Any = ledger.state.study.trials[0]
    assert (ended.state, ended.value, max(ended.intermediate_values)) == (TrialState.COMPLETE, 0.8, 9)
    assert ledger.state.study.best_trial.number == 0


def test_who_changes_a_copy_changes_nothing(make_ledger: Callable[[int], Ledger]) -> None:
    ledger = make_ledger(3)
    start(ledger, 1.0)
    ledger.state.study.get_trials()[0].intermediate_values[1] = 99.0
    assert ledger.state.study.get_trials()[0].intermediate_values == {1: 1.0}
