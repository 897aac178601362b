"""Searches in which trials pre-train alike: `pre` is trained once for each result that there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.best import read_best
from bmtune.records import Epoch
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import TrialStarted
from bmtune.records import read_records

pytestmark = pytest.mark.slow

SPACE = """
trainer: gan
objective: {metric: fid}
budget: {trials: 5, max_epochs: 2, eta: 3, grace: 2}
run: {max_concurrent: 1, sampler: random}
base:
  data: {dataset: moons_small}
  born: {physical_dim: 4, bond_dim: 2}
  trainer:
    classification: {max_epoch: 3, batch_size: 50, optimizer: {lr: 2e-2}}
    ganstyle: {critic: {steps: 1}, sampling: {num_per_class: 50, num_bins: 20}}
  evaluation: {num_samples: 60, num_bins: 20}
parameters:
  trainer.ganstyle.optimizer.lr: {type: float, low: 5e-4, high: 1e-2, log: true}
  trainer.ganstyle.critic.steps: {type: int, low: 1, high: 2}
"""
BOND_DIM = "  born.bond_dim: {type: categorical, choices: [2, 3]}\n"
Search = Callable[..., Path]


@pytest.fixture
def search(ray_cluster: Any, listened: Any, tmp_path: Path) -> Search:
    """Runs a search of a space and returns its folder."""
    from bmtune.search.driver import run_search
    from bmtune.search.request import SearchRequest
    from bmtune.search.resolve import resolve

    def run(name: str, text: str = SPACE, **options: Any) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        request = SearchRequest("gan", space=path, storage=tmp_path, name=name, **options)
        outcome = run_search(resolve(request), listened)
        assert outcome.counts.failed == 0
        return outcome.run_folder

    return run


def records_of(folder: Path) -> tuple[Record, ...]:
    return read_records(folder / "records.jsonl").records


def trained(folder: Path) -> list[int]:
    """The trials that trained `pre`."""
    return sorted(
        {record.trial for record in records_of(folder) if isinstance(record, Epoch) and record.phase == "pre"}
    )


def shared(folder: Path) -> dict[int, PretrainingShared]:
    return {record.trial: record for record in records_of(folder) if isinstance(record, PretrainingShared)}


def test_trials_that_differ_in_the_game_alone_pretrain_once(search: Search) -> None:
    folder = search("game")
    assert trained(folder) == [0]
    found = shared(folder)
    assert sorted(found) == [1, 2, 3, 4]
    assert {record.from_trial for record in found.values()} == {0}
    last = [record for record in records_of(folder) if isinstance(record, Epoch) and record.phase == "pre"][-1]
    start = {name: value for name, value in last.metrics.items() if name.startswith("start/")}
    for record in found.values():
        assert record.metrics["start/acc"] == start["start/acc"]
        assert record.metrics["start/loss"] == start["start/loss"]
    # Samples are drawn with each trial's own seed.
    assert len({record.metrics["start/fid"] for record in found.values()}) > 1
    assert [path.name for path in (folder / "pretraining").iterdir()] == [found[1].key]


def test_trials_pretrain_once_for_each_bond_dimension(search: Search) -> None:
    folder = search("bonds", SPACE.replace("trials: 5", "trials: 8") + BOND_DIM)
    dims = {
        record.trial: record.params["born.bond_dim"]
        for record in records_of(folder)
        if isinstance(record, TrialStarted)
    }
    first = {dim: min(trial for trial, own in dims.items() if own == dim) for dim in dims.values()}
    assert len(first) == 2
    assert trained(folder) == sorted(first.values())
    assert {trial: record.from_trial for trial, record in shared(folder).items()} == {
        trial: first[dim] for trial, dim in dims.items() if trial != first[dim]
    }


def test_a_later_search_takes_what_an_earlier_one_kept(search: Search, tmp_path: Path) -> None:
    common = str(tmp_path / "common")
    first = search("first", pre_cache=common, trials=1)
    second = search("second", pre_cache=common, trials=2)
    assert (trained(first), trained(second)) == ([0], [])
    assert [record.from_run for record in shared(second).values()] == ["first", "first"]
    assert not (second / "pretraining").exists()


def test_a_trial_that_took_a_result_can_be_trained_again_by_its_configuration(search: Search) -> None:
    from bmtune.search.solo import load_data
    from bmtune.training import advance
    from bmtune.training import make_problem
    from bmtune.training import outcome
    from bmtune.training import start

    folder = search("again", SPACE.replace("trials: 5", "trials: 4"), seed=6)
    best = read_best(folder / "best.yaml").best
    assert best.config.pre_seed == 6
    for trial in shared(folder):
        tensors, facts = read_checkpoint(folder / f"checkpoints/trial-{trial:05d}/best")
        config = best.config.model_validate(facts["config"])
        problem = make_problem(config, load_data(config))
        state = start(problem)
        while not state.status.ended:
            state, _ = advance(problem, state)
        found = outcome(problem, state)
        assert found is not None
        assert found.epoch == facts["epoch"]
        assert found.valid == pytest.approx(facts["metrics"], rel=1e-5)
        assert set(tensors) == set(found.cores._asdict())
