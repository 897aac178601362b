import re

import pytest

from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import PretrainingShared
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.reports.lines import SECONDS_BETWEEN_BESTS
from bmtune.reports.lines import LineProgress


class Log:
    """Lines and the clock that dates them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.listener = LineProgress(self.lines.append, lambda: self.now)
        self.listener.on_record(
            RunStarted(
                run="night",
                trainer="gan",
                dataset="moons",
                data_hash="0",
                objective=Objective(metric="fid", mode="min"),
                trials=4,
                max_epochs=9,
                seed=3,
                bmtune="0.1.0",
                time=0.0,
            )
        )
        for trial in range(4):
            self.listener.on_record(TrialStarted(trial=trial, params={"born.bond_dim": 6}, seed=0, time=0.0))

    def epoch(self, trial: int, epoch: int, fid: float) -> None:
        metrics = {"fid": fid, "acc": 0.5, "train/loss": 7.0}
        self.listener.on_record(
            Epoch(
                trial=trial,
                phase="gan",
                epoch=epoch,
                budget=epoch,
                metrics=metrics,
                seconds=0.25,
                eligible=True,
                best_epoch=epoch,
                best_metrics=metrics,
            )
        )


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_run_is_announced_in_one_line(log: Log):
    assert log.lines == [
        "[     0 s] run night: gan on moons, lowest fid, at most 4 trials of 9 epochs, seed 3",
    ]


def test_the_first_epoch_of_all_is_told_once_with_validation_metrics(log: Log):
    log.now = 12.0
    log.epoch(2, 1, 0.5)
    log.epoch(1, 1, 0.6)
    told = [line for line in log.lines if "first epoch" in line]
    assert told == ["[    12 s] first epoch: trial 2, phase gan, fid 0.5, acc 0.5 in 0.25 s"]


def test_an_epoch_without_validation_metrics_is_told_by_its_training_losses(log: Log):
    told = {"train/d_loss": 1.25, "train/grad_norm": 0.5}
    log.listener.on_record(
        Epoch(
            trial=3,
            phase="critic",
            epoch=1,
            budget=0,
            metrics=told,
            seconds=0.25,
            eligible=False,
            best_epoch=None,
            best_metrics=None,
        )
    )
    assert log.lines[-1] == (
        "[     0 s] first epoch: trial 3, phase critic, train/d_loss 1.25, train/grad_norm 0.5 in 0.25 s"
    )


def test_a_thousand_improving_epochs_are_a_few_lines(log: Log):
    for epoch in range(1, 1001):
        log.now += 0.01
        log.epoch(0, epoch, 1 / epoch)
    bests = [line for line in log.lines if "best so far" in line]
    assert 2 <= len(bests) <= 1 + 10 / SECONDS_BETWEEN_BESTS


def test_a_best_that_did_not_change_is_not_told_again(log: Log):
    for epoch in range(1, 5):
        log.now += 100
        log.epoch(0, epoch, 0.5)
    assert sum("best so far" in line for line in log.lines) == 1


def test_each_trial_that_ends_is_one_line(log: Log):
    log.epoch(0, 3, 0.5)
    log.listener.on_record(TrialFinished(trial=0, status="pruned", reason="rung 3", time=1.0))
    log.listener.on_record(TrialFinished(trial=1, status="failed", reason="loss is not finite", time=1.0))
    assert log.lines[-2:] == [
        "[     0 s] 1/4: trial 0 pruned at fid 0.5 after 3 epochs (rung 3)",
        "[     0 s] 2/4: trial 1 failed after 0 epochs (loss is not finite)",
    ]


def test_a_pause_and_a_promotion_are_a_line_each_and_the_end_of_a_trial_that_waited_is_none(log: Log):
    log.epoch(0, 3, 0.5)
    log.listener.on_record(Rung(trial=0, rung=3, value=0.5, decision="pause"))
    log.listener.on_record(Rung(trial=1, rung=3, value=0.25, decision="promote"))
    log.listener.on_record(Rung(trial=2, rung=3, value=0.75, decision="pause"))
    log.listener.on_record(TrialPromoted(trial=0, rung=3, time=1.0))
    told = len(log.lines)
    assert log.lines[-3:] == [
        "[     0 s] trial 0 paused at rung 3, fid 0.5 (1 paused)",
        "[     0 s] trial 2 paused at rung 3, fid 0.75 (2 paused)",
        "[     0 s] trial 0 promoted: it goes on from rung 3",
    ]
    log.listener.on_record(TrialFinished(trial=2, status="pruned", reason="paused at rung 3", time=1.0))
    assert len(log.lines) == told
    log.listener.on_record(TrialFinished(trial=0, status="completed", reason="whole budget", time=1.0))
    log.listener.on_record(RunFinished(reason="all trials ended", best=0, time=2.0))
    assert "4 trials (1 completed, 1 pruned, 0 failed, 1 promoted after a pause)" in log.lines[-1]


def test_the_end_tells_the_latest_best_and_what_became_of_the_trials(log: Log):
    log.epoch(0, 1, 0.5)
    log.epoch(1, 1, 0.25)
    log.listener.on_record(TrialFinished(trial=1, status="completed", reason="whole budget", time=1.0))
    log.now = 130.0
    log.listener.on_record(
        RunFinished(reason="all trials ended", best=1, test_metrics={"acc": 0.75, "fid": 0.3}, time=2.0)
    )
    assert log.lines[-2:] == [
        "[2 min 10 s] best so far: trial 1, fid 0.25, acc 0.5 at epoch 1: born.bond_dim=6",
        "[2 min 10 s] finished (all trials ended): 4 trials (1 completed, 0 pruned, 0 failed), 2 epochs in "
        "2 min 10 s; the best on the test rows: acc 0.75, fid 0.3",
    ]


def test_the_end_tells_how_many_trials_took_shared_pretraining(log: Log):
    for trial in (1, 2):
        log.listener.on_record(
            PretrainingShared(trial=trial, key="ab", from_run="night", from_trial=0, epochs=20, metrics={})
        )
    log.listener.on_record(RunFinished(reason="all trials ended", best=None, time=2.0))
    assert log.lines[-1].endswith("0 epochs in 0 s; pre-training was shared with 2 trials")


def test_a_notice_is_a_line(log: Log):
    log.listener.on_record(Notice(text="a sentence"))
    assert log.lines[-1] == "[     0 s] note: a sentence"


def test_lines_are_plain_text(log: Log):
    log.epoch(0, 1, 0.5)
    assert not any(re.search(r"\x1b|\n", line) for line in log.lines)


def test_what_was_recorded_before_is_counted_and_not_told_again(log: Log):
    lines: list[str] = []
    before = LineProgress(lines.append, lambda: 0.0)
    header = log.listener._progress.started
    assert header is not None
    past = [header, *(TrialStarted(trial=trial, params={}, seed=0, time=0.0) for trial in range(4))]
    past.append(TrialFinished(trial=0, status="completed", reason="done", value=0.1, time=1.0))
    past.append(Rung(trial=1, rung=1, value=0.2, decision="pause"))
    before.catch_up(past)
    assert lines == []
    before.on_record(RunResumed(trials=9, bmtune="0", time=2.0))
    assert len(lines) == 1
    assert "at most 9 trials of 9 epochs" in lines[0]
    assert lines[0].endswith("; 1 finished, 2 running, 1 paused, going on")
