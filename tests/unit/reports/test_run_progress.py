import math

import pytest

from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.reports.progress import RunProgress


def started(mode: str = "min") -> RunStarted:
    return RunStarted(
        run="night",
        trainer="gan",
        dataset="moons",
        data_hash="0",
        objective=Objective(metric="fid", mode=mode),
        trials=4,
        max_epochs=9,
        seed=0,
        bmtune="0.1.0",
        time=0.0,
    )


def trial(number: int, *fids: float, status: str | None = None) -> list[Record]:
    records: list[Record] = [TrialStarted(trial=number, params={"born.bond_dim": number}, seed=number, time=1.0)]
    for epoch in range(1, len(fids) + 1):
        best = min(range(epoch), key=fids.__getitem__)
        records.append(
            Epoch(
                trial=number,
                phase="gan",
                epoch=epoch,
                budget=epoch,
                metrics={"fid": fids[epoch - 1]},
                seconds=0.1,
                eligible=True,
                best_epoch=best + 1,
                best_metrics={"fid": fids[best]},
            )
        )
    if status is not None:
        records.append(TrialFinished(trial=number, status=status, reason="said so", time=2.0))
    return records


def test_before_the_first_record_nothing_is_known():
    progress = RunProgress()
    assert progress.started is None
    assert progress.ranked() == []
    assert progress.num_epochs == 0


def test_shared_pretraining_counts_no_epochs():
    shared = PretrainingShared(trial=0, key="ab", from_run="night", from_trial=3, epochs=20, metrics={"start/fid": 1.0})
    progress = RunProgress([started(), *trial(0)[:1], shared, Notice(text="a sentence"), *trial(0, 3.0)[1:]])
    assert (progress.num_shared, progress.num_epochs, progress.trials[0].phase) == (1, 1, "gan")
    assert progress.notices == ["a sentence"]


def test_epochs_update_their_own_trial_only():
    progress = RunProgress([started(), *trial(0, 3.0, 1.0, 2.0), *trial(1)])
    first, second = progress.trials.values()
    assert (first.phase, first.epoch, first.budget, first.metrics) == ("gan", 3, 3, {"fid": 2.0})
    assert (first.best_epoch, progress.value(first)) == (2, 1.0)
    assert (second.phase, second.epoch, progress.value(second)) == (None, 0, None)
    assert progress.num_epochs == 3


@pytest.mark.parametrize(("mode", "order"), [("min", [1, 2, 0]), ("max", [0, 1, 2])])
def test_ranking_follows_the_direction_and_of_equals_the_earlier_is_first(mode: str, order: list[int]):
    progress = RunProgress([started(mode), *trial(0, 3.0), *trial(1, 1.0), *trial(2, 1.0)])
    assert [entry.trial for entry in progress.ranked()] == order


def test_a_trial_that_halving_stopped_ranks_after_those_that_went_on_whatever_its_value():
    stop = Rung(trial=0, rung=1, value=0.1, decision="stop")
    go_on = Rung(trial=1, rung=1, value=2.0, decision="continue")
    records = [started(), *trial(0, 0.1), stop, *trial(1, 2.0), go_on, *trial(2, 3.0)]
    assert [entry.trial for entry in RunProgress(records).ranked()] == [1, 2, 0]


def paused(number: int, rung: int, value: float) -> Record:
    return Rung(trial=number, rung=rung, value=value, decision="pause")


def test_a_trial_that_waits_is_paused_until_it_is_promoted_or_ends():
    progress = RunProgress([started(), *trial(0, 1.0), paused(0, 1, 1.0), *trial(1, 2.0), paused(1, 1, 2.0)])
    assert [progress.count(state) for state in ("running", "paused")] == [0, 2]
    progress.on_record(TrialPromoted(trial=1, rung=1, time=3.0))
    assert [entry.state for entry in progress.trials.values()] == ["paused", "running"]
    assert progress.num_promotions == 1
    progress.on_record(TrialFinished(trial=0, status="pruned", reason="paused at rung 1", time=4.0))
    assert [progress.count(state) for state in ("paused", "pruned")] == [0, 1]


def test_where_halving_promotes_whole_trials_rank_first_and_then_those_that_passed_most_rungs():
    records = [
        started(),
        *trial(0, 0.1),
        paused(0, 1, 0.1),
        *trial(1, 0.4),
        Rung(trial=1, rung=1, value=0.4, decision="promote"),
        *trial(2, 0.3),
        paused(2, 1, 0.3),
        TrialPromoted(trial=2, rung=1, time=1.0),
        paused(2, 3, 0.3),
        *trial(3, 0.2),
        *trial(4, 0.9),
        Rung(trial=4, rung=1, value=0.9, decision="promote"),
        TrialFinished(trial=4, status="completed", reason="x", best_epoch=1, best_metrics={"fid": 0.9}, time=2.0),
    ]
    assert [entry.trial for entry in RunProgress(records).ranked()] == [4, 2, 1, 0, 3]


def test_failed_unmeasured_and_non_finite_trials_do_not_rank():
    records = [started(), *trial(0, 0.1, status="failed"), *trial(1), *trial(2, math.nan), *trial(3, 2.0)]
    assert [entry.trial for entry in RunProgress(records).ranked()] == [3]


def test_states_are_counted():
    records = [started(), *trial(0, 1.0, status="pruned"), *trial(1, status="failed"), *trial(2), *trial(3, 1.0)]
    progress = RunProgress(records)
    assert [progress.count(state) for state in ("running", "completed", "pruned", "failed")] == [2, 0, 1, 1]
    assert progress.trials[0].reason == "said so"


def test_the_best_checkpoint_is_kept_and_the_last_one_is_not_taken_for_it():
    progress = RunProgress(
        [
            started(),
            *trial(0, 1.0),
            CheckpointWritten(trial=0, which="best", budget=1, path="checkpoints/trial-00000/best"),
            CheckpointWritten(trial=0, which="last", budget=1, path="checkpoints/trial-00000/last"),
        ]
    )
    assert progress.trials[0].checkpoint == "checkpoints/trial-00000/best"


def test_a_run_that_goes_on_has_not_ended_and_may_have_other_trials():
    progress = RunProgress([started(), *trial(0, 0.5)])
    progress.on_record(RunFinished(reason="the time budget of 1 s is over", best=None, time=0.0))
    progress.on_record(RunResumed(trials=99, bmtune="0", time=5.0))
    assert progress.finished is None
    assert progress.started is not None
    assert progress.started.trials == 99
    assert (progress.num_before, progress.num_ended, progress.count("running")) == (1, 0, 1)


def test_trials_of_another_run_are_counted_and_are_none_of_this_ones():
    progress = RunProgress([started()])
    values = {1: 0.1}
    progress.on_record(
        TrialTaken(from_run="other", from_trial=3, params={}, status="completed", value=0.1, values=values)
    )
    assert (progress.num_taken, progress.trials, progress.ranked()) == (1, {}, [])


def test_a_lost_epoch_that_is_trained_again_does_not_set_its_trial_back():
    records = trial(0, 0.9, 0.5, 0.2)
    lost = records.pop(2)
    progress = RunProgress([started(), *records, lost])
    assert (progress.trials[0].epoch, progress.trials[0].metrics, progress.num_epochs) == (3, {"fid": 0.2}, 3)


def test_the_end_of_the_run_is_kept():
    end = RunFinished(reason="all trials ended", best=0, time=3.0)
    assert RunProgress([started(), end]).finished == end
