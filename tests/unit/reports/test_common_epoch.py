import math
from collections.abc import Callable
from typing import Any

from bmtune.reports.common_epoch import common_epoch


def test_the_first_rung_is_common_where_it_stops_most(recorded: Callable[..., Any], told: Callable[..., Any]):
    stopped = [told((0.9, 0.8, 0.7 + number / 100), status="pruned", rungs={3: "stop"}) for number in range(5)]
    read = recorded(told([0.9, 0.8, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]), *stopped)
    common = common_epoch(read.history)
    assert common.epoch == 3
    assert [entry.value for entry in common.trials] == [0.5, 0.7, 0.71, 0.72, 0.73, 0.74]
    assert common.left_out == 0


def test_a_trial_that_ended_by_itself_keeps_its_best_and_one_that_diverged_is_the_worst(
    recorded: Callable[..., Any], told: Callable[..., Any]
):
    read = recorded(
        told([0.5] * 6),
        told([0.5] * 6),
        told((0.4, 0.45), reason="patience is over"),
        told((0.3,), status="failed", reason="the loss is not finite"),
        told((0.2,) * 6, status="failed", reason="a bug", error="Traceback"),
    )
    common = common_epoch(read.history)
    assert common.epoch == 9
    assert {entry.trial: entry.value for entry in common.trials} == {0: 0.5, 1: 0.5, 2: 0.4, 3: math.inf}
    assert common.left_out == 1


def test_trials_that_have_not_come_so_far_are_left_out(recorded: Callable[..., Any], told: Callable[..., Any]):
    read = recorded(*[told([0.5] * 4)] * 3, told([0.1], status=None), ended=False)
    common = common_epoch(read.history)
    assert common.epoch == 9
    assert [entry.trial for entry in common.trials] == [0, 1, 2]
    assert common.left_out == 1


def test_before_the_first_epoch_nothing_is_common(recorded: Callable[..., Any], told: Callable[..., Any]):
    common = common_epoch(recorded(told(status=None), ended=False).history)
    assert (common.epoch, common.trials, common.left_out) == (0, (), 1)
