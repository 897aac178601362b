from collections.abc import Callable
from typing import Any

import pytest

from bmtune.reports.history import RunRead
from bmtune.reports.summary import best_of
from bmtune.reports.verdict import base_trial
from bmtune.reports.verdict import metric_rows
from bmtune.reports.verdict import sentences
from bmtune.reports.verdict import state_of
from bmtune.reports.verdict import unmeasured

OTHER = {"born.bond_dim": 9}


def said(read: RunRead) -> str:
    _, (winner,) = best_of(read.history.progress, read.space, read.folder)
    return " ".join(sentences(read.history, winner, base_trial(read.history, read.space)))


def test_the_winner_is_set_against_the_base_configuration(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.8, 0.4)), told((0.6, 0.1), params=OTHER))
    text = said(read)
    assert "The base configuration (trial 0) came to loss 0.4 at epoch 2; the winner is 75 % lower." in text


def test_unequal_budgets_are_compared_at_the_epochs_that_both_have(
    recorded: Callable[..., Any], told: Callable[..., Any]
):
    read = recorded(told((0.8,), status="pruned", rungs={1: "stop"}), told((0.7, 0.2), params=OTHER))
    assert "After 1 epoch, to which both came, the winner had 0.7 and the base configuration 0.8." in said(read)


def test_a_base_configuration_that_nothing_beats_is_called_the_winner(
    recorded: Callable[..., Any], told: Callable[..., Any]
):
    assert "the search found none that is better" in said(recorded(told((0.2,)), told((0.3,), params=OTHER)))


def test_a_search_without_the_base_configuration_says_so(recorded: Callable[..., Any], told: Callable[..., Any]):
    assert "No trial had the base configuration" in said(recorded(told((0.2,), params=OTHER)))


def test_a_base_configuration_that_failed_is_told(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told(status="failed", reason="it burst"), told((0.3,), params=OTHER))
    assert "The base configuration (trial 0) was not measured: it burst." in said(read)


def test_a_better_value_of_a_trial_that_was_held_is_explained(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5, 0.4)), told((0.1,), status="pruned", rungs={1: "stop"}, params=OTHER))
    assert "Trial 1 had 0.1 at epoch 1, but it was pruned after 1 epoch" in said(read)


def test_the_table_has_the_objective_first_and_no_training_loss(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(told((0.5,)), told((0.25,), params=OTHER))
    _, (winner,) = best_of(read.history.progress, read.space, read.folder)
    rows = metric_rows(read.history, winner, base_trial(read.history, read.space))
    assert [(row.name, row.valid, row.test, row.base) for row in rows] == [
        ("loss", 0.25, None, 0.5),
        ("acc", 0.75, None, 0.5),
    ]
    assert rows[1].meaning == "accuracy of the predicted class; higher is better"


def test_the_state_of_an_ended_run_and_of_one_that_goes_on(recorded: Callable[..., Any], told: Callable[..., Any]):
    ended = recorded(told((0.5,)), told((0.5,), status="failed"), name="one")
    assert state_of(ended.history) == (
        "The search ended (all trials ended) after 2 trials of 8: 1 completed, 1 failed."
    )
    going = recorded(told((0.5,), status=None), name="two", ended=False)
    assert state_of(going.history).startswith("The search has not ended: it is still going, or was interrupted.")


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([], "No trial has started yet."),
        ([{"status": "failed"}], "No trial could be measured: all 1 trial failed, for the causes below."),
        ([{"status": None}, {"status": "failed"}], "2 trials started; 1 failed."),
    ],
)
def test_why_there_is_no_winner(
    recorded: Callable[..., Any], told: Callable[..., Any], trials: list[dict[str, Any]], words: str
):
    assert words in unmeasured(recorded(*[told(**trial) for trial in trials], ended=False).history)
