"""A search that is broken off anywhere and replayed goes on as it would have."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.audit import audit
from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunStarted
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import promote_trial
from bmtune.search.conduct import take_report
from bmtune.search.ledger import Ledger
from bmtune.search.next_trial import next_params
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

SPACE = """
trainer: classification
objective: GOAL
budget: {trials: 7, max_epochs: 4, eta: 2, grace: 1}
run: {halving: HALVING}
base: {data: {dataset: moons_small}}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
"""
HALVINGS = st.sampled_from(["promote", "stop"])
GOALS = st.sampled_from(["{metric: loss}", "{metric: [loss, acc]}", "{metric: loss, constraints: [acc >= 0.4]}"])
CHOICES = st.lists(st.integers(0, 9), min_size=5, max_size=60)
VALUES = st.lists(st.floats(0.01, 9) | st.just(math.inf), min_size=8, max_size=8)


def space_of(folder: Path, halving: str, goal: str) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(SPACE.replace("HALVING", halving).replace("GOAL", goal))
    return load_space(path)


def header(space: SearchSpace) -> RunStarted:
    return RunStarted(
        run="a-run",
        trainer=space.trainer,
        dataset="moons_small",
        data_hash="0",
        objective=space.aims.objectives[0],
        others=space.aims.objectives[1:],
        bounds=space.aims.bounds,
        trials=space.budget.trials,
        max_epochs=space.budget.max_epochs,
        seed=0,
        bmtune="0",
        time=1.0,
    )


def report_of(state: SearchState, trial: int, values: Sequence[float]) -> TrialReport:
    """The next epoch of a trial."""
    running = state.running[trial]
    number, value = running.budget + 1, values[trial % len(values)] / (running.budget + 1)
    finite = math.isfinite(value)
    # The best accuracy is not that of the best loss.
    metrics = {"loss": value, "acc": (trial * 7 + number) % 5 / 4}
    epoch = Epoch(
        trial=trial,
        phase="pre",
        epoch=number,
        budget=number,
        metrics=metrics,
        seconds=0.1,
        eligible=finite,
        best_epoch=number if finite else None,
        best_metrics=metrics if finite else None,
    )
    if not finite:
        return TrialReport(epochs=(epoch,), end=TrialEnd(status="failed", reason="diverged"))
    end = TrialEnd(status="completed", reason="done") if number == state.space.budget.max_epochs else None
    return TrialReport(epochs=(epoch,), end=end)


def run(ledger: Ledger, choices: Sequence[int], values: Sequence[float]) -> None:
    """Lets chance decide what happens next: a trial begins, is promoted, or reports."""
    for choice in choices:
        state = ledger.state
        active = [number for number in state.running if number not in state.paused]
        if state.promotion is not None:
            promote_trial(ledger, clock=lambda: 1.0)
        elif (choice < 4 or not active) and not state.all_started:
            begin_trial(ledger, clock=lambda: 1.0)
        elif active:
            trial = active[choice % len(active)]
            take_report(ledger, trial, report_of(state, trial, values), clock=lambda: 1.0)


def seen(state: SearchState) -> object:
    study = [(trial.state, trial.params, trial.intermediate_values, trial.values) for trial in state.study.trials]
    return (
        study,
        state.running,
        state.finished,
        state.arrivals,
        state.paused,
        state.promotion,
        state.best,
        state.pareto(unfinished=True),
    )


@settings(max_examples=40, deadline=None)
@given(HALVINGS, GOALS, CHOICES, VALUES, st.data())
def test_any_prefix_replays_to_what_it_was_and_proposes_what_it_would_have(
    halving: str, goal: str, choices: list[int], values: list[float], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = space_of(Path(folder), halving, goal)
        path = Path(folder) / "records.jsonl"
        with RecordWriter(path) as writer:
            ledger = Ledger(SearchState(space), writer, [])
            ledger.record(header(space))
            cut = data.draw(st.integers(0, len(choices)))
            run(ledger, choices[:cut], values)
            again = SearchState.replay(space, read_records(path).records)
            assert seen(again) == seen(ledger.state)
            if not again.all_started:
                proposed = next_params(again)
                run(ledger, choices[cut:], values)
                undisturbed: list[Record] = list(read_records(path).records)
                assert not [text for text in audit(undisturbed) if text]
                later = ledger.state.running | {number: trial.run for number, trial in ledger.state.finished.items()}
                if again.num_started in later and cut == len(choices):
                    assert later[again.num_started].params == proposed


@settings(max_examples=25, deadline=None)
@given(HALVINGS, GOALS, CHOICES, VALUES, st.integers(0, 60))
def test_a_search_that_goes_on_from_its_replayed_records_writes_the_same_ones(
    halving: str, goal: str, choices: list[int], values: list[float], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        space = space_of(Path(folder), halving, goal)
        whole, broken = Path(folder) / "whole.jsonl", Path(folder) / "broken.jsonl"
        with RecordWriter(whole) as writer:
            ledger = Ledger(SearchState(space), writer, [])
            ledger.record(header(space))
            run(ledger, choices, values)
        with RecordWriter(broken) as writer:
            ledger = Ledger(SearchState(space), writer, [])
            ledger.record(header(space))
            run(ledger, choices[:cut], values)
        with RecordWriter(broken) as writer:
            state = SearchState.replay(space, read_records(broken).records)
            run(Ledger(state, writer, []), choices[cut:], values)
        assert broken.read_bytes() == whole.read_bytes()
