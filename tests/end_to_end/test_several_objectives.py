"""A search for two objectives below a constraint, with the real training, packs and promotions, that then goes on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmtune.audit import audit
from bmtune.checkpoints import read_checkpoint
from bmtune.config.best import read_best
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import TrialEnqueued
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import read_records
from bmtune.reports.lines import LineProgress
from bmtune.reports.summary import summarize
from bmtune.search.next_trial import next_params
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import resolve
from bmtune.search.state import SearchState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SPACE = """
trainer: adversarial
objective: {metric: [acc, rob], constraints: ["loss <= 50"]}
budget: {trials: 7, max_epochs: 4, eta: 2, grace: 1}
run: {halving: promote, seed: 3, max_concurrent: 4, confirm: none}
base:
  data: {dataset: iris}
  born: {physical_dim: 4, bond_dim: 3}
  trainer:
    classification: {max_epoch: 3, batch_size: 32, optimizer: {lr: 2e-2}}
    adversarial: {batch_size: 32, optimizer: {lr: 1e-2}}
  evaluation: {strengths: [0.1], attack: {steps: 3}}
parameters:
  trainer.adversarial.optimizer.lr: {type: float, low: 1e-3, high: 1e-1, log: true}
  born.bond_dim: {type: int, low: 2, high: 5}
"""


def records_of(folder: Path) -> tuple[Record, ...]:
    return read_records(folder / "records.jsonl").records


def unbeaten(epochs: Sequence[Epoch]) -> int:
    """The best epoch by the rule, word for word: the latest that no epoch before it equals or beats."""
    points = [(epoch.metrics["loss"] > 50, -epoch.metrics["acc"], -epoch.metrics["rob"]) for epoch in epochs]
    assert not any(broken for broken, _, _ in points), "the constraint is a wide one"
    return max(
        place
        for place, (_, acc, rob) in enumerate(points, start=1)
        if not any(other[1] <= acc and other[2] <= rob for other in points[: place - 1])
    )


def check_story(folder: Path, resolved: Any) -> SearchState:
    """Every decision is what the records before it lead to, and every best epoch follows the rule."""
    records = records_of(folder)
    assert audit(records) == []
    state = SearchState(resolved.space)
    epochs: dict[int, list[Epoch]] = {}
    for record in records:
        if isinstance(record, Epoch) and record.phase == "adv":
            assert {"acc", "rob", "loss"} <= record.metrics.keys()
            epochs.setdefault(record.trial, []).append(record)
            assert record.best_epoch == unbeaten(epochs[record.trial])
        if isinstance(record, Rung):
            assert state.rung_reached(record.trial) == record
        if isinstance(record, TrialPromoted):
            assert state.promotion == (record.trial, record.rung)
        if isinstance(record, TrialStarted):
            assert next_params(state) == record.params
        state.apply(record)
    return state


def check_best(folder: Path, state: SearchState) -> None:
    """best.yaml holds the trials that none beats, by a look at all of them, and their models."""
    best = read_best(folder / "best.yaml")
    ends = [record for record in records_of(folder) if isinstance(record, TrialFinished) and record.status != "failed"]
    points = {end.trial: (end.best_metrics["acc"], end.best_metrics["rob"]) for end in ends if end.best_metrics}
    members = {
        trial
        for trial, (acc, rob) in points.items()
        if not any(other != (acc, rob) and other[0] >= acc and other[1] >= rob for other in points.values())
    }
    assert {entry.trial for entry in best.pareto} == members
    assert best.pareto[0].trial == best.best.trial
    assert best.best.value == max(acc for acc, _ in points.values())
    for entry in best.pareto:
        assert (entry.metrics["acc"], entry.metrics["rob"]) == points[entry.trial]
        assert {"test/acc", "test/rob"} <= entry.metrics.keys()
        assert read_checkpoint(folder / entry.checkpoint)[1]["epoch"] == entry.epoch
    assert summarize(folder).best == best
    assert [trial.run.number for trial in state.pareto()] == [entry.trial for entry in best.pareto]


def test_two_objectives_are_searched_resumed_and_lead_to_another_search(
    ray_cluster: Any, listened: Any, tmp_path: Path
) -> None:
    from bmtune.search.driver import run_search

    (tmp_path / "space.yaml").write_text(SPACE)
    request = SearchRequest("adversarial", space=tmp_path / "space.yaml", storage=tmp_path, name="night")
    resolved = resolve(request)
    outcome = run_search(resolved, listened)
    folder = outcome.run_folder
    assert outcome.counts.failed == 0
    check_best(folder, check_story(folder, resolved))
    before = records_of(folder)

    again = resolve(SearchRequest(None, name="night", storage=tmp_path, resume=True, trials=9))
    said: list[str] = []
    outcome = run_search(again, LineProgress(said.append))
    assert records_of(folder)[: len(before)] == before
    check_best(folder, check_story(folder, again))
    assert outcome.counts.total == 9
    assert any("in the Pareto set: trial" in line for line in said)

    day = resolve(replace(request, name="day", trials=4, from_run="night", from_top=2))
    outcome = run_search(day, listened)
    records = records_of(outcome.run_folder)
    assert sum(isinstance(record, TrialTaken) for record in records) == 9
    first = [record.params for record in records if isinstance(record, TrialEnqueued)]
    started = [record.params for record in records if isinstance(record, TrialStarted)]
    assert started[: 1 + len(first)] == [day.space.base_params(), *first]
    check_story(outcome.run_folder, day)
