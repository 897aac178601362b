"""What a new run takes over from an old one."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.search.warm_start import learned
from bmtune.search.warm_start import params_in

BOND, LR = "born.bond_dim", "trainer.classification.optimizer.lr"
MakeSpace = Callable[..., SearchSpace]


def trial(number: int, losses: list[float], *then: Record, lr: float = 0.01, bond_dim: int = 6) -> list[Record]:
    found: list[Record] = [TrialStarted(trial=number, params={LR: lr, BOND: bond_dim}, seed=number, time=0.0)]
    for epoch, loss in enumerate(losses, start=1):
        metrics = {"loss": loss, "acc": 1 - loss}
        best = {"best_epoch": epoch, "best_metrics": metrics}
        found.append(
            Epoch(
                trial=number,
                phase="pre",
                epoch=epoch,
                budget=epoch,
                metrics=metrics,
                seconds=0.1,
                eligible=True,
                **best,
            )
        )
    return [*found, *then]


def end(number: int, status: str = "completed") -> TrialFinished:
    return TrialFinished(trial=number, status=status, reason="so", value=0.1, time=1.0)


def taken(old: SearchSpace, records: list[Record], new: SearchSpace, **options: Any) -> list[TrialTaken]:
    *found, notice = learned(old, "night", records, new, same_data=options.get("same_data", True))
    assert isinstance(notice, Notice)
    assert notice.text.startswith(f"this run learns from {len(found)} of the ")
    return found  # type: ignore[return-value]


def test_trials_that_ended_or_wait_are_taken_and_those_that_run_or_failed_are_not(make_space: MakeSpace) -> None:
    space = make_space()
    waits = Rung(trial=2, rung=1, value=0.5, decision="pause")
    again = [Rung(trial=3, rung=1, value=0.5, decision="pause"), TrialPromoted(trial=3, rung=1, time=1.0)]
    records = [
        *trial(0, [0.9, 0.4, 0.6], end(0)),
        *trial(1, [0.9], end(1, "failed")),
        *trial(2, [0.5], waits),
        *trial(3, [0.5], *again),
        *trial(3, [])[1:],
        Epoch(trial=3, phase="pre", epoch=2, budget=2, metrics={"loss": 0.4}, seconds=0.1, eligible=True),
        *trial(4, [], end(4)),
    ]
    found = taken(space, records, space)
    assert [(entry.from_trial, entry.status, entry.value) for entry in found] == [
        (0, "completed", 0.4),
        (2, "pruned", 0.5),
    ]
    assert found[0].values == {1: 0.9, 2: 0.4, 3: 0.6}
    assert found[0].params == {LR: 0.01, BOND: 6}


def test_with_another_objective_its_values_count(make_space: MakeSpace) -> None:
    old, new = make_space(), make_space(("metric: loss", "metric: acc"))
    (found,) = taken(old, trial(0, [0.75, 0.25], end(0)), new)
    assert (found.value, found.values) == (0.75, {1: 0.25, 2: 0.75})


@pytest.mark.parametrize(("epochs", "most", "status"), [(9, 9, "completed"), (9, 4, "completed"), (9, 27, "pruned")])
def test_a_trial_that_had_its_whole_budget_is_complete_where_the_budget_is_no_larger_now(
    make_space: MakeSpace, epochs: int, most: int, status: str
) -> None:
    old, new = make_space(), make_space(("max_epochs: 9", f"max_epochs: {most}"))
    (found,) = taken(old, trial(0, [1 / epoch for epoch in range(1, epochs + 1)], end(0)), new)
    assert (found.status, max(found.values)) == (status, min(epochs, most))


def test_a_trial_that_ended_by_itself_is_complete_whatever_the_budget(make_space: MakeSpace) -> None:
    (found,) = taken(make_space(), trial(0, [0.5, 0.6], end(0)), make_space(("max_epochs: 9", "max_epochs: 27")))
    assert found.status == "completed"


def test_what_the_new_space_could_not_propose_or_measures_otherwise_is_left(make_space: MakeSpace) -> None:
    old = make_space()
    records = [*trial(0, [0.5], end(0), bond_dim=9), *trial(1, [math.nan], end(1)), *trial(2, [0.5], end(2))]
    narrow = make_space(("low: 2, high: 12", "low: 2, high: 8"))
    assert [entry.from_trial for entry in taken(old, records, narrow)] == [2]
    assert taken(old, records, narrow, same_data=False) == []
    other = make_space(("base: {", "base: {born: {physical_dim: 7}, "))
    assert taken(old, records, other) == []


def test_a_parameter_that_is_searched_now_has_the_value_that_it_was_fixed_at(make_space: MakeSpace) -> None:
    fixed = make_space(
        ("  born.bond_dim: {type: int, low: 2, high: 12}\n", ""), ("base: {", "base: {born: {bond_dim: 5}, ")
    )
    config = fixed.configure({LR: 0.02})
    assert params_in(make_space(("base: {", "base: {born: {bond_dim: 6}, ")), config) == {LR: 0.02, BOND: 5}
