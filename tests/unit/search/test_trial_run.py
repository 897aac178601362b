from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.checkpoints import read_checkpoint
from bmtune.config.root import TrialConfig
from bmtune.config.space import SearchSpace
from bmtune.search.trial_alone import TrialRun
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.trial_run import guarded

MakeSpace = Callable[..., SearchSpace]


class Ticking:
    """A clock that is one second later at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def make_run(make_space: MakeSpace, tmp_path: Path, fake_training: type[Any]) -> Callable[..., TrialRun]:
    def make(*, every: float = 1000.0, rungs: tuple[int, ...] = (3,), name: str = "plain") -> TrialRun:
        config: TrialConfig = make_space().base.model_copy(update={"name": name})
        task = Task(trial=7, config=config, run_folder=str(tmp_path), rungs=rungs, report_every_s=every)
        return TrialRun(task, fake_training, Ticking())

    return make


def epochs(report: TrialReport) -> list[int]:
    return [epoch.epoch for epoch in report.epochs]


def test_reports_come_after_the_first_epoch_at_rungs_and_at_the_end(make_run: Callable[..., TrialRun]) -> None:
    run = make_run()
    reports = [run.next_report() for _ in range(3)]
    assert [epochs(report) for report in reports] == [[1], [2, 3], [4, 5, 6, 7, 8, 9]]
    assert [report.end is not None for report in reports] == [False, False, True]
    assert reports[-1].end is not None
    assert reports[-1].end.status == "completed"


def test_zero_seconds_report_every_epoch(make_run: Callable[..., TrialRun]) -> None:
    run = make_run(every=0.0)
    assert [epochs(run.next_report()) for _ in range(9)] == [[number] for number in range(1, 10)]


def test_some_seconds_report_what_they_held(make_run: Callable[..., TrialRun]) -> None:
    run = make_run(every=2.0, rungs=())
    assert [epochs(run.next_report()) for _ in range(5)] == [[1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_checkpoints_best_when_it_changed_and_last_at_rungs_and_end(
    make_run: Callable[..., TrialRun], tmp_path: Path
) -> None:
    run = make_run()
    written = [[checkpoint.which for checkpoint in run.next_report().checkpoints] for _ in range(3)]
    assert written == [["best"], ["best", "last"], ["best", "last"]]
    tensors, facts = read_checkpoint(tmp_path / "checkpoints/trial-00007/best")
    assert tensors["cores"].tolist() == [9.0, 9.0]
    assert (facts["epoch"], facts["trial"]) == (9, 7)
    assert TrialConfig.model_validate(facts["config"]).born.bond_dim == 6
    assert facts["metrics"]["loss"] == pytest.approx(1 / 9)


def test_a_trial_goes_on_from_its_last_checkpoint(make_run: Callable[..., TrialRun]) -> None:
    run = make_run()
    run.next_report()
    run.next_report()
    again = make_run()
    # The records may not have what the checkpoint tells of, so it tells of it again.
    assert epochs(again.next_report()) == [2, 3]
    assert epochs(again.next_report()) == [4]


def test_a_checkpoint_tells_of_what_the_records_may_lack_and_of_no_more(
    make_run: Callable[..., TrialRun], tmp_path: Path
) -> None:
    run = make_run(every=0.0, rungs=(6,))
    for _ in range(6):
        run.next_report()
    again = make_run(every=0.0, rungs=(6,)).next_report()
    # Whoever asked for the sixth report had recorded the five before.
    assert epochs(again) == [6]
    assert [checkpoint.which for checkpoint in again.checkpoints] == ["best", "last"]


def test_a_trial_that_had_ended_only_says_so(make_run: Callable[..., TrialRun]) -> None:
    run = make_run(rungs=())
    run.next_report()
    ended = run.next_report().end
    again = make_run().next_report()
    assert epochs(again) == list(range(2, 10))
    assert again.end == ended


def test_a_trial_that_diverges_has_failed(make_run: Callable[..., TrialRun]) -> None:
    run = make_run(name="diverges")
    run.next_report()
    end = run.next_report().end
    assert end is not None
    assert end.status == "failed"
    assert "no longer finite" in end.reason


def test_an_exception_becomes_data_with_its_traceback(make_run: Callable[..., TrialRun]) -> None:
    end = guarded(make_run(name="raises").next_report).end
    assert end is not None
    assert (end.status, end.reason) == ("failed", "RuntimeError: no luck with seed 0")
    assert end.error is not None
    assert "Traceback" in end.error
    assert "in advance" in end.error


def test_an_interrupt_is_not_a_trials_failure() -> None:
    def interrupted() -> TrialReport:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted)


def test_a_report_survives_its_way_through_tune(make_run: Callable[..., TrialRun]) -> None:
    run = make_run(name="diverges")
    run.next_report()
    text = run.next_report().model_dump_json()
    assert TrialReport.model_validate_json(text).model_dump_json() == text
    assert '"NaN"' in text
