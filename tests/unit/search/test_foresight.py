"""Proposals that are made ahead: which they are, and that a search that is read anew makes the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.config.space import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import read_records
from bmtune.search.ahead import Ahead
from bmtune.search.ahead import AtOnce
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import take_report
from bmtune.search.foresight import Foresight
from bmtune.search.foresight import Proposal
from bmtune.search.foresight import Rule
from bmtune.search.ledger import Ledger
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport

RULE = Rule(first=12, lag=3)
TRIALS, AT_ONCE = 30, 4


@pytest.fixture
def ledger(make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path) -> Ledger:
    space = make_space(("trials: 8", f"trials: {TRIALS}"), ("budget:", "run: {scheduler: none}\nbudget:"))
    (tmp_path / "search.yaml").write_text(dump(space.to_mapping()))
    return open_ledger(space)


def end(ledger: Ledger, trial: int) -> None:
    params = ledger.state.running[trial].params
    loss = abs(float(str(params["trainer.classification.optimizer.lr"])) - 1e-2)
    metrics = {"loss": loss}
    epoch = Epoch(
        trial=trial,
        phase="pre",
        epoch=1,
        budget=1,
        metrics=metrics,
        seconds=0.1,
        eligible=True,
        best_epoch=1,
        best_metrics=metrics,
    )
    take_report(ledger, trial, TrialReport(epochs=(epoch,), end=TrialEnd(status="completed", reason="all epochs")))


def search(ledger: Ledger, asks: Any, until: int = TRIALS) -> None:
    """Trials end in the order in which they began, a few at a time."""
    while ledger.state.num_started < until:
        begin_trial(ledger, asks=asks)
        running = list(ledger.state.running)
        if len(running) == AT_ONCE:
            end(ledger, running[0])


def params_of(records: tuple[Record, ...]) -> dict[int, Any]:
    return {record.trial: record.params for record in records if record.kind == "trial_started"}


@pytest.mark.slow
def test_a_process_proposes_what_the_records_say_and_one_that_begins_later_the_same(
    ledger: Ledger, tmp_path: Path
) -> None:
    told: list[str] = []
    with Ahead(tmp_path, told.append, RULE) as asks:
        search(ledger, asks, until=20)
    # Another one, as after an interruption in the middle of what was made ahead.
    with Ahead(tmp_path, told.append, RULE) as asks:
        search(ledger, asks)
    assert told == []
    records = read_records(tmp_path / "records.jsonl").records
    found, made = params_of(records), {}
    foresight = Foresight(ledger.state.space, RULE)
    # One record at a time nothing is known before it is read.
    for record in records:
        made |= dict(foresight.take([record]))
    assert sorted(made) == list(range(RULE.first + 1, TRIALS))
    assert made == {number: found[number] for number in made}


def test_records_that_hold_the_proposals_already_lead_to_those_that_are_missing(ledger: Ledger, tmp_path: Path) -> None:
    search(ledger, AtOnce())
    records = read_records(tmp_path / "records.jsonl").records
    cut = next(place for place, record in enumerate(records) if record.kind == "trial_started" and record.trial == 20)
    whole = Foresight(ledger.state.space, RULE)
    assert [proposal.trial for proposal in whole.take(records[: cut + 1])] == [21, 22, 23]


@pytest.mark.slow
def test_a_process_that_has_ended_is_done_without_and_the_user_is_told_once(ledger: Ledger, tmp_path: Path) -> None:
    told: list[str] = []
    with Ahead(tmp_path, told.append, RULE) as asks:
        search(ledger, asks, until=15)
        assert asks._process is not None
        asks._process.kill()
        asks._process.wait()
        search(ledger, asks)
    assert ledger.state.num_started == TRIALS
    assert told == ["proposals are made in the process of the search from here on: the one that made them has ended"]


@pytest.mark.parametrize("first", [TRIALS - 1, 100])
def test_small_searches_start_no_process(ledger: Ledger, tmp_path: Path, first: int) -> None:
    with Ahead(tmp_path, print, Rule(first)) as asks:
        search(ledger, asks)
        assert asks._process is None


def test_no_more_is_proposed_than_there_are_trials(ledger: Ledger, tmp_path: Path) -> None:
    search(ledger, AtOnce())
    foresight = Foresight(ledger.state.space, RULE)
    records = read_records(tmp_path / "records.jsonl").records
    made: list[Proposal] = []
    for record in records:
        made += foresight.take([record])
    assert [proposal.trial for proposal in made] == list(range(RULE.first + 1, TRIALS))
