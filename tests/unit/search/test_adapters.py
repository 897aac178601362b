"""The adapters without a Ray cluster: what Tune would call is called here."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from bmtune.checkpoints import write_checkpoint
from bmtune.config.space import SearchSpace
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import read_records
from bmtune.search.ledger import Ledger
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport
from bmtune.search.trials import RunningTrial

# Importing Ray Tune takes a second.
pytestmark = pytest.mark.slow
OpenLedger = Callable[..., Ledger]


@pytest.fixture
def ledger(make_space: Callable[..., SearchSpace], open_ledger: OpenLedger) -> Ledger:
    return open_ledger(make_space(("trials: 8", "trials: 4"), ("budget:", "run: {time_budget_s: 60}\nbudget:")))


def to_config(trial: RunningTrial) -> dict[str, Any]:
    return {"trial": trial.number}


def test_the_searcher_proposes_until_the_budget_is_used(ledger: Ledger, tmp_path: Any) -> None:
    from bmtune.search.adapters import RecordSearcher

    searcher = RecordSearcher(ledger, to_config, lambda: 9)
    assert [searcher.suggest(str(number)) for number in range(5)] == [
        {"trial": 0},
        {"trial": 1},
        {"trial": 2},
        {"trial": 3},
        # A paused trial may still be promoted: the search is not over when all were started.
        None,
    ]
    searcher.save_to_dir(str(tmp_path / "tune"))
    assert not (tmp_path / "tune").exists()


def test_the_scheduler_says_stop_when_a_trial_has_ended(ledger: Ledger) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher

    RecordSearcher(ledger, to_config, lambda: 9).suggest("a")
    scheduler = HalvingScheduler(ledger, lambda: 9, print)
    trial = SimpleNamespace(config={"trial": 0})
    going_on = {"report": TrialReport().model_dump_json()}
    assert scheduler.on_trial_result(None, trial, going_on) == "CONTINUE"
    ended = {"report": TrialReport(end=TrialEnd(status="failed", reason="NaN")).model_dump_json()}
    assert scheduler.on_trial_result(None, trial, ended) == "STOP"
    assert ledger.state.study.trials[0].state is TrialState.FAIL


class Controller:
    """The part of Tune that pauses trials."""

    def __init__(self) -> None:
        self.paused: list[tuple[Any, bool]] = []

    def pause_trial(self, trial: Any, should_checkpoint: bool) -> None:  # noqa: FBT001 - Tune's signature
        self.paused.append((trial, should_checkpoint))


@pytest.fixture
def promoting(make_space: Callable[..., SearchSpace], open_ledger: OpenLedger) -> Ledger:
    """A search of four trials of which one in three is promoted from rung 1, and again from rung 3."""
    return open_ledger(make_space(("trials: 8", "trials: 4"), ("budget:", "run: {halving: promote}\nbudget:")))


def reached(trial: int, rung: int, loss: float) -> dict[str, str]:
    epoch = Epoch(
        trial=trial,
        phase="pre",
        epoch=rung,
        budget=rung,
        metrics={"loss": loss},
        seconds=0.1,
        eligible=True,
        best_epoch=rung,
        best_metrics={"loss": loss},
    )
    return {"report": TrialReport(epochs=(epoch,)).model_dump_json()}


def test_a_paused_trial_frees_its_place_at_once_and_a_promotable_one_takes_it_before_a_new_one(
    promoting: Ledger,
) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher

    searcher, scheduler = RecordSearcher(promoting, to_config, lambda: 1), HalvingScheduler(promoting, lambda: 1, print)
    assert searcher.set_max_concurrency(1)
    controller, trials = Controller(), []
    for number, loss in enumerate((1.0, 2.0, 3.0)):
        config = searcher.suggest(str(number))
        assert config == {"trial": number}
        assert searcher.suggest("more") is None
        trials.append(SimpleNamespace(config=config))
        scheduler.on_trial_add(controller, trials[-1])
        assert scheduler.choose_trial_to_run(controller) is None
        assert scheduler.on_trial_result(controller, trials[-1], reached(number, 1, loss)) == "NOOP"
        assert controller.paused[-1] == (trials[-1], False)
    assert searcher.suggest("3") is None
    assert scheduler.choose_trial_to_run(controller) is trials[0]
    assert scheduler.choose_trial_to_run(controller) is None
    assert searcher.suggest("3") is None
    assert scheduler.on_trial_result(controller, trials[0], reached(0, 3, 0.5)) == "NOOP"
    assert searcher.suggest("3") == {"trial": 3}


def test_a_search_that_promotes_ends_when_nothing_is_left_to_train(promoting: Ledger) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher
    from bmtune.search.adapters import SearchStopper

    searcher, scheduler = RecordSearcher(promoting, to_config, lambda: 9), HalvingScheduler(promoting, lambda: 9, print)
    stopper, controller = SearchStopper(promoting), Controller()
    trials = [SimpleNamespace(config=searcher.suggest(str(number))) for number in range(4)]
    # Tune may ask again: a trial that is promoted later needs a process that is not thrown away.
    assert searcher.suggest("4") is None
    for trial in trials:
        scheduler.on_trial_add(controller, trial)
        scheduler.on_trial_result(controller, trial, reached(trial.config["trial"], 1, trial.config["trial"]))
    assert not stopper.stop_all()
    while (trial := scheduler.choose_trial_to_run(controller)) is not None:
        budget = promoting.state.running[trial.config["trial"]].budget
        assert not stopper.stop_all()
        if budget == 1:
            scheduler.on_trial_result(controller, trial, reached(trial.config["trial"], 3, 0.1))
        else:
            ended = TrialReport(end=TrialEnd(status="completed", reason="done")).model_dump_json()
            assert scheduler.on_trial_result(controller, trial, {"report": ended}) == "STOP"
    assert stopper.stop_all()
    assert stopper.reason is None
    assert searcher.suggest("4") == searcher.FINISHED
    assert sorted(promoting.state.paused) == [1, 2, 3]


def lost(task: Task, failures: int, status: str = "ERROR", path: Path | None = None) -> SimpleNamespace:
    """A trial of Tune whose process was lost; Tune has marked it as failed where it lets it go on."""
    return SimpleNamespace(
        config={"trial": task.trial, "task": task.model_dump_json()},
        error_file=None if path is None else str(path),
        num_failures=failures,
        status=status,
    )


@pytest.fixture
def task(ledger: Ledger, tmp_path: Path) -> Task:
    from bmtune.search.adapters import RecordSearcher

    RecordSearcher(ledger, to_config, lambda: 9).suggest("a")
    config = ledger.state.space.base
    return Task(trial=0, config=config, run_folder=str(tmp_path), rungs=(), report_every_s=1.0)


def notices(folder: Path) -> list[str]:
    return [record.text for record in read_records(folder / "records.jsonl").records if isinstance(record, Notice)]


def test_a_process_lost_too_often_fails_its_trial_once(ledger: Ledger, task: Task, tmp_path: Path) -> None:
    from bmtune.search.adapters import HalvingScheduler

    path = tmp_path / "error.txt"
    path.write_text("Failure # 1 (occurred at noon)\nbefore\nFailure # 2 (occurred later)\nthe node is gone\nmore\n")
    again: list[Any] = []
    scheduler = HalvingScheduler(ledger, lambda: 1, again.append)
    scheduler.on_trial_error(None, lost(task, 3))
    assert 0 in ledger.state.running
    for failures in (4, 5):
        scheduler.on_trial_error(None, lost(task, failures, "RUNNING", path))
    end = ledger.state.finished[0].end
    assert (end.status, end.reason) == ("failed", "its process was lost: the node is gone")
    assert end.error == "the node is gone\nmore"
    assert not again


def test_a_trial_whose_memory_ran_out_too_often_fails_with_what_it_said(
    ledger: Ledger, task: Task, tmp_path: Path
) -> None:
    from bmtune.search.adapters import HalvingScheduler

    path = tmp_path / "error.txt"
    path.write_text(
        "Failure # 1 (occurred at 2026-01-01_00-00-00)\n\x1b[36mray::BornTrial.train()\x1b[39m (pid=1)\n  File x\n"
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB.\n"
    )
    scheduler = HalvingScheduler(ledger, lambda: 1, lambda config: None)
    scheduler.on_trial_error(None, lost(task, 1, path=path))
    assert notices(tmp_path) == ["trial 0 ran out of memory and goes on from epoch 0 (1 of 3)"]
    scheduler.on_trial_error(None, lost(task, 4, "RUNNING", path))
    end = ledger.state.finished[0].end
    assert end.reason == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB."


def test_the_user_is_told_from_where_a_trial_goes_on_and_how_often_that_was_so(
    ledger: Ledger, task: Task, tmp_path: Path
) -> None:
    from bmtune.search.adapters import HalvingScheduler

    again: list[Any] = []
    scheduler, last = HalvingScheduler(ledger, lambda: 1, again.append), tmp_path / task.checkpoint_path("last")
    scheduler.on_trial_error(None, lost(task, 1))
    write_checkpoint(last, {}, {"budget": 40})
    scheduler.on_trial_error(None, lost(task, 1))
    scheduler.on_trial_error(None, lost(task, 2))
    (last / "checkpoint.json").write_text("torn")
    scheduler.on_trial_error(None, lost(task, 3))
    assert notices(tmp_path) == [
        "trial 0 lost its process and goes on from epoch 0 (1 of 3)",
        "trial 0 lost its process and goes on from epoch 40 (not counted: another trial may be why)",
        "trial 0 lost its process and goes on from epoch 40 (2 of 3)",
        "trial 0 lost its process and goes on from an older checkpoint (3 of 3)",
    ]
    assert not again


def test_a_trial_that_tune_gives_up_since_it_lost_a_process_that_it_was_about_to_get_goes_on(
    ledger: Ledger, task: Task, tmp_path: Path
) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher

    searcher = RecordSearcher(ledger, to_config, lambda: 1)
    scheduler = HalvingScheduler(ledger, lambda: 1, searcher.hand_out_again)
    # It runs already when this searcher begins, so it is handed out first.
    assert searcher.suggest("a") == {"trial": 0}
    assert searcher.suggest("b") is None
    # Tune tells it of the process, and then of the call that was to reset it, which makes it give the trial up.
    scheduler.on_trial_error(None, lost(task, 1))
    scheduler.on_trial_error(None, lost(task, 2, "PENDING"))
    assert notices(tmp_path) == ["trial 0 lost its process and goes on from epoch 0 (1 of 3)"]
    again = searcher.suggest("b")
    assert again == {"trial": 0, "task": task.model_dump_json()}
    assert searcher.suggest("c") is None
    # What Tune takes for another trial has two losses left of three.
    trial = SimpleNamespace(config=again, max_failures=3)
    scheduler.on_trial_add(None, trial)
    assert trial.max_failures == 2
    scheduler.on_trial_error(None, lost(task, 2))
    assert notices(tmp_path)[1:] == ["trial 0 lost its process and goes on from epoch 0 (3 of 3)"]


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


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (MemoryError("no more"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("no luck"), False),
    ],
)
def test_a_process_of_one_trial_ends_where_memory_or_the_device_fails_and_writes_nothing_more(
    fake_training: Any, task: Task, tmp_path: Path, error: Exception, *, spent: bool
) -> None:
    from bmtune.search.trainable import REPORT
    from bmtune.search.trainable import BornTrial

    class Failing(fake_training):  # type: ignore[misc]
        def advance(self) -> Any:
            if self.epoch == 2:
                raise error
            return super().advance()

    class FailingTrial(BornTrial):
        make_training = Failing

    trial = FailingTrial.__new__(FailingTrial)
    trial.setup({"task": task.model_copy(update={"report_every_s": 0.0}).model_dump_json()})
    for _ in range(2):
        trial.step()
    if spent:
        with pytest.raises(type(error)):
            trial.step()
        trial.cleanup()
        assert not (tmp_path / task.checkpoint_path("last")).exists()
    else:
        assert "no luck" in trial.step()[REPORT]


def test_a_trial_asks_for_its_processors_and_its_share_of_a_gpu() -> None:
    from bmtune.search.trainable import BornTrial

    ask = BornTrial.default_resource_request
    assert ask({"occupies": {"CPU": 2}}).required_resources == {"CPU": 2}
    assert ask({"occupies": {"CPU": 1, "GPU": 0.5}}).required_resources == {"CPU": 1, "GPU": 0.5}


def test_after_a_replay_trials_that_ran_are_handed_out_first_as_the_trials_that_they_are(
    promoting: Ledger, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    from bmtune.search.adapters import RecordSearcher
    from bmtune.search.conduct import begin_trial
    from bmtune.search.conduct import take_report

    for _ in range(3):
        begin_trial(promoting)
    take_report(promoting, 1, TrialReport.model_validate_json(reached(1, 1, 2.0)["report"]))
    state = promoting.state
    assert (list(state.running), list(state.paused)) == ([0, 1, 2], [1])
    again = open_ledger(
        type(state).replay(state.space, read_records(tmp_path / "records.jsonl").records), name="again.jsonl"
    )
    searcher = RecordSearcher(again, to_config, lambda: 2)
    assert [searcher.suggest("a"), searcher.suggest("b"), searcher.suggest("c")] == [{"trial": 0}, {"trial": 2}, None]
    # They were started before: nothing was recorded of it.
    assert ((tmp_path / "again.jsonl").read_bytes(), again.state.num_started) == (b"", 3)


def test_a_promoted_trial_that_tune_does_not_know_is_handed_out_by_the_searcher_alone(
    promoting: Ledger, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    from bmtune.search.adapters import HalvingScheduler
    from bmtune.search.adapters import RecordSearcher
    from bmtune.search.conduct import begin_trial
    from bmtune.search.conduct import take_report

    for _ in range(3):
        begin_trial(promoting)
    for number, loss in enumerate((1.0, 2.0, 3.0)):
        take_report(promoting, number, TrialReport.model_validate_json(reached(number, 1, loss)["report"]))
    state = promoting.state
    again = open_ledger(
        type(state).replay(state.space, read_records(tmp_path / "records.jsonl").records), name="again.jsonl"
    )
    assert again.state.promotion is not None
    assert again.state.promotion.trial == 0
    searcher, scheduler = RecordSearcher(again, to_config, lambda: 1), HalvingScheduler(again, lambda: 1, print)
    assert scheduler.choose_trial_to_run(None) is None
    assert searcher.suggest("a") == {"trial": 0}
    assert b'"kind":"trial_promoted","trial":0,"rung":1' in (tmp_path / "again.jsonl").read_bytes()
    assert 0 not in again.state.paused
