"""Whole searches on a real Ray, with a training that takes no time, and one with the real one."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.best import read_best
from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.errors import ResourceError
from bmtune.errors import SearchStoppedError
from bmtune.records import Epoch
from bmtune.records import RunFinished
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import read_records
from bmtune.search.outcome import SearchOutcome
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import SearchState

pytestmark = pytest.mark.slow
MakeSpace = Callable[..., SearchSpace]
NO_HALVING = ("budget:", "run: {scheduler: none, report_every_s: 0}\nbudget:")
SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 20, max_epochs: 9, eta: 3, grace: 1}
base: {data: {dataset: moons_small}}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
  trainer.classification.criterion.name: {type: categorical, choices: [negative log-likelihood, brier]}
"""
Run = Callable[..., SearchOutcome]


@pytest.fixture
def run(backend: Any, listened: Any, tmp_path: Path) -> Run:
    """Runs a search with one process, because each takes seconds to start."""
    from bmtune.search.driver import run_search

    def search(space: SearchSpace, listener: Any = listened) -> SearchOutcome:
        space = replace(space, run=space.run.model_copy(update={"max_concurrent": 1}))
        return run_search(ResolvedSearch(space, tmp_path / "run", None, "hash"), listener, backend=backend)

    return search


@pytest.fixture(scope="module", params=["auto", 1], ids=["lanes", "processes"])
def whole(request: Any, backend: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One search of twenty trials with two processes: its space, its outcome, what was heard of it."""
    from bmtune.search.driver import run_search

    class Heard:
        def __init__(self) -> None:
            self.records: list[Any] = []
            self.lanes: Callable[[], Any] = tuple
            self.occupied: list[Any] = []

        def on_record(self, record: Any) -> None:
            self.records.append(record)
            self.occupied.append(self.lanes())

        def on_lanes(self, lanes: Callable[[], Any]) -> None:
            self.lanes = lanes

    path = tmp_path_factory.mktemp("whole")
    (path / "space.yaml").write_text(SPACE)
    space, heard = load_space(path / "space.yaml"), Heard()
    space = replace(space, run=space.run.model_copy(update={"pack": request.param}))
    outcome = run_search(ResolvedSearch(space, path / "run", None, "hash"), heard, backend=backend, watcher=heard)
    taken = [sum(count for count, _ in hosts) for hosts in heard.occupied]
    most = [sum(most for _, most in hosts) for hosts in heard.occupied]
    # Processes of one trial each have no lanes to tell of.
    assert (max(taken) > 0) == (request.param == "auto")
    assert all(here <= there for here, there in zip(taken, most, strict=True))
    return space, outcome, heard.records


def finished(folder: Path) -> list[TrialFinished]:
    return [record for record in read_records(folder / "records.jsonl").records if isinstance(record, TrialFinished)]


def test_a_search_leaves_a_whole_run_folder(whole: Any) -> None:
    _, outcome, heard = whole
    folder = outcome.run_folder
    names = {path.name for path in folder.iterdir()}
    assert names == {".lock", "search.yaml", "records.jsonl", "study.db", "checkpoints", "best.yaml", "best"}
    assert not [path for path in folder.rglob("*") if "pkl" in path.name or "pickle" in path.name]
    counts = outcome.counts
    assert counts.total == 20 == counts.completed + counts.pruned + counts.failed
    assert counts.pruned > 0
    records = read_records(folder / "records.jsonl").records
    assert list(records) == heard
    assert isinstance(records[0], RunStarted)
    assert isinstance(records[-1], RunFinished)
    epochs = [(record.trial, record.phase, record.epoch) for record in records if isinstance(record, Epoch)]
    assert len(set(epochs)) == len(epochs) > 20


def test_the_winner_is_the_best_of_the_trials_that_went_on(whole: Any) -> None:
    _, outcome, _ = whole
    best = read_best(outcome.run_folder / "best.yaml")
    assert best == outcome.best
    completed = [record for record in finished(outcome.run_folder) if record.status == "completed"]
    assert best.best.value == min(record.value for record in completed if record.value is not None)
    assert best.best.metrics["test/acc"] == 1.0
    tensors, facts = read_checkpoint(outcome.run_folder / "best")
    assert facts["config"] == best.best.config.model_dump(mode="json")
    assert tensors["cores"].tolist() == [best.best.epoch] * 2


def test_replayed_records_give_the_study_that_the_file_shows(whole: Any) -> None:
    space, outcome, _ = whole
    folder = outcome.run_folder
    state = SearchState.replay(space, read_records(folder / "records.jsonl").records)
    shown = optuna.load_study(study_name="run", storage=f"sqlite:///{folder / 'study.db'}")
    # The file's order is that of the ends, the study's that of the starts.
    first, second = (
        sorted(str((t.state, t.params, t.values, t.intermediate_values)) for t in study.trials)
        for study in (shown, state.study)
    )
    assert first == second
    assert state.study.best_trial.value is not None
    assert not state.running


def test_every_epoch_is_reported_however_seldom_trials_report(run: Run, make_space: MakeSpace, listened: Any) -> None:
    space = make_space(("trials: 8", "trials: 3"), NO_HALVING)
    run(space)
    assert sorted(listened.epochs()) == [(trial, "pre", epoch) for trial in range(3) for epoch in range(1, 10)]


def test_diverging_trials_fail_and_a_search_whose_first_trials_all_do_stops(run: Run, make_space: MakeSpace) -> None:
    fails = make_space(("name: plain", "name: diverges"), ("trials: 8", "trials: 30"), NO_HALVING)
    with pytest.raises(SearchStoppedError, match="no longer finite"):
        run(fails)


def test_a_search_whose_first_trials_all_raise_alike_stops_and_says_why(
    run: Run, make_space: MakeSpace, tmp_path: Path
) -> None:
    with pytest.raises(SearchStoppedError, match="RuntimeError: no luck with seed"):
        run(make_space(("name: plain", "name: raises"), ("trials: 8", "trials: 30")))
    ends = finished(tmp_path / "run")
    assert 3 <= len(ends) < 30
    assert all(end.error is not None and "Traceback" in end.error for end in ends if end.status == "failed")
    assert not (tmp_path / "run" / "best.yaml").exists()


@pytest.mark.parametrize("pack", ["auto", "1"])
def test_a_trial_whose_process_dies_is_recorded_and_the_search_ends(
    run: Run, make_space: MakeSpace, tmp_path: Path, pack: str
) -> None:
    settings = ("budget:", f"run: {{pack: {pack}, max_failures: 0}}\nbudget:")
    with pytest.raises(SearchStoppedError, match="none was"):
        run(make_space(("name: plain", "name: kills"), ("trials: 8", "trials: 2"), settings))
    assert [end.reason.split(":")[0] for end in finished(tmp_path / "run")] == ["its process was lost"] * 2


def test_a_time_budget_ends_a_search_and_what_was_reached_counts(
    run: Run, make_space: MakeSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bmtune.search import tune_loop
    from bmtune.search.adapters import SearchStopper

    def stopper(ledger: Any) -> SearchStopper:
        # An hour is over when the third trial has ended.
        return SearchStopper(ledger, clock=lambda: 3600.0 * (len(ledger.state.finished) >= 3))

    monkeypatch.setattr(tune_loop, "SearchStopper", stopper)
    outcome = run(make_space(("trials: 8", "trials: 100000"), ("budget:", "run: {time_budget_s: 3600}\nbudget:")))
    assert outcome.best is not None
    last = read_records(outcome.run_folder / "records.jsonl").records[-1]
    assert isinstance(last, RunFinished)
    assert last.reason == "the time budget of 3600 s is over"
    counts = outcome.counts
    # Of a hundred thousand trials, those that had a lane by then.
    assert 3 <= counts.total == counts.completed + counts.pruned + counts.failed < 200


class Interrupting:
    """A listener that presses Ctrl-C when the third trial has ended."""

    def __init__(self) -> None:
        self.ended = 0

    def on_record(self, record: Any) -> None:
        if isinstance(record, TrialFinished):
            self.ended += 1
            if self.ended == 3:
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()


def test_an_interrupt_keeps_what_was_found(run: Run, make_space: MakeSpace) -> None:
    handler = signal.getsignal(signal.SIGINT)
    outcome = run(make_space(("trials: 8", "trials: 100000")), Interrupting())
    assert outcome.interrupted
    assert outcome.best is not None
    records = read_records(outcome.run_folder / "records.jsonl").records
    assert not isinstance(records[-1], RunFinished)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("run_settings", "message"),
    [
        ("{gpus_per_trial: 1}", "asks for 1 GPUs and there are 0"),
        ("{gpus_per_trial: 0.5}", "asks for 0.5 GPUs and there are 0"),
        ("{cpus_per_trial: 3}", "asks for 3 processors and there are 2"),
    ],
)
def test_more_than_there_is_is_refused_at_once(
    run: Run, make_space: MakeSpace, tmp_path: Path, run_settings: str, message: str
) -> None:
    with pytest.raises(ResourceError, match=message):
        run(make_space(("budget:", f"run: {run_settings}\nbudget:")))
    assert not (tmp_path / "run").exists()


def test_two_processors_a_trial_leave_room_for_one(run: Run, make_space: MakeSpace, listened: Any) -> None:
    run(make_space(("trials: 8", "trials: 2"), ("budget:", "run: {cpus_per_trial: 2, pack: 1}\nbudget:")))
    order = [record.trial for record in listened.records if record.kind in ("trial_started", "trial_finished")]
    assert order == [0, 0, 1, 1]


def test_a_real_search_trains_and_its_winner_does_what_was_recorded(
    ray_cluster: Any, listened: Any, tmp_path: Path
) -> None:
    from bmtune.search.driver import run_search
    from bmtune.search.request import SearchRequest
    from bmtune.search.resolve import resolve
    from bmtune.search.solo import on_test_rows

    request = SearchRequest("classification", dataset="iris", trials=3, max_epochs=4, storage=tmp_path, name="iris")
    outcome = run_search(resolve(request), listened)
    assert outcome.best is not None
    best = outcome.best.best
    assert best.metrics["test/acc"] > 0.8
    tensors, _ = read_checkpoint(outcome.run_folder / best.checkpoint)
    again = {f"test/{name}": value for name, value in on_test_rows(best.config, tensors).items()}
    assert again == {name: value for name, value in best.metrics.items() if name.startswith("test/")}
    assert replace(load_space(outcome.run_folder / "search.yaml"), source="") == replace(
        resolve(replace(request, name="other")).space, source=""
    )


@pytest.mark.parametrize(
    ("trainer", "phase", "overrides"),
    [
        ("classification", "pre", ()),
        ("gan", "gan", ()),
        ("generative", "gen", ()),
        # Its space has batches of 256 and this data set 200 training rows.
        ("adversarial", "adv", (("trainer.adversarial.batch_size", "64"),)),
    ],
)
def test_the_search_of_each_trainer_runs_whole(
    ray_cluster: Any,
    listened: Any,
    tmp_path: Path,
    trainer: str,
    phase: str,
    overrides: tuple[tuple[str, str], ...],
) -> None:
    from bmtune.search.driver import run_search
    from bmtune.search.request import SearchRequest
    from bmtune.search.resolve import resolve

    request = SearchRequest(
        trainer,
        dataset="moons_small",
        trials=4,
        max_epochs=3,
        storage=tmp_path,
        name=trainer,
        max_concurrent=1,
        overrides=overrides,
    )
    outcome = run_search(resolve(request), listened)
    assert outcome.best is not None
    assert (outcome.counts.total, outcome.counts.failed) == (4, 0)
    best = outcome.best.best
    assert best.config.recipe == trainer
    assert any(name.startswith("test/") for name in best.metrics)
    records = read_records(outcome.run_folder / "records.jsonl").records
    assert max(record.budget for record in records if isinstance(record, Epoch) and record.phase == phase) == 3
    tensors, facts = read_checkpoint(outcome.run_folder / "best")
    assert facts["config"] == best.config.model_dump(mode="json")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
