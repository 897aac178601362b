import pytest

from bmtune.training.recipes.base import PhaseRules
from bmtune.training.status import Status
from bmtune.training.watch import Best
from bmtune.training.watch import better
from bmtune.training.watch import phase_status
from bmtune.training.watch import reached


def best(epoch, **metrics):
    return Best(epoch, metrics, None)


@pytest.mark.parametrize(("crit", "old", "new", "wins"), [("acc", 0.8, 0.9, True), ("acc", 0.9, 0.8, False)])
def test_a_share_is_better_when_larger(crit, old, new, wins):
    found = better(best(1, **{crit: old}), best(2, **{crit: new}), crit)
    assert found.epoch == (2 if wins else 1)


def test_a_loss_is_better_when_smaller_and_an_equal_one_is_not():
    assert better(best(1, loss=0.5), best(2, loss=0.4), "loss").epoch == 2
    assert better(best(1, loss=0.5), best(2, loss=0.6), "loss").epoch == 1
    assert better(best(1, loss=0.5), best(2, loss=0.5), "loss").epoch == 1


def test_the_first_measured_epoch_is_the_best_and_one_without_the_metric_never():
    assert better(None, best(3, fid=9.0), "fid").epoch == 3
    assert better(None, best(3, acc=1.0), "fid") is None
    assert better(best(1, fid=9.0), best(3, acc=1.0), "fid").epoch == 1
    assert better(None, best(3, fid=float("nan")), "fid") is None


def test_a_goal_is_reached_when_every_metric_is_at_least_as_good():
    assert reached({"acc": 0.9}, {"acc": 0.9})
    assert reached({"acc": 0.9, "loss": 0.3}, {"acc": 0.95, "loss": 0.3})
    assert not reached({"acc": 0.9, "loss": 0.3}, {"acc": 0.95, "loss": 0.31})
    assert not reached({"acc": 0.9}, {"loss": 0.0})
    assert not reached({}, {"acc": 1.0})


def rules(**fields):
    given = {"max_epoch": 10, "patience": 3, "stop_crit": "loss", "metrics": (("loss", 1),), "watch_freq": 1}
    return PhaseRules(**{**given, **fields})


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "expected"),
    [
        (1, 1, Status.RUNNING),
        (5, 3, Status.RUNNING),
        (6, 3, Status.STOPPED_EARLY),
        (2, None, Status.RUNNING),
        (3, None, Status.STOPPED_EARLY),
        (10, 3, Status.FINISHED),
        (10, 10, Status.FINISHED),
    ],
)
def test_when_a_phase_ends(epoch, best_epoch, expected):
    so_far = None if best_epoch is None else best(best_epoch, loss=1.0)
    assert phase_status(rules(), epoch, so_far, {}, {"loss": 2.0}) is expected


def test_a_reached_goal_is_named_before_the_last_epoch():
    assert phase_status(rules(), 10, best(1, loss=1.0), {"loss": 2.0}, {"loss": 2.0}) is Status.GOAL_REACHED


def test_an_epoch_without_the_watched_metric_does_not_exhaust_patience():
    assert phase_status(rules(stop_crit="fid"), 6, best(1, fid=1.0), {}, {"loss": 2.0}) is Status.RUNNING
    assert phase_status(rules(stop_crit="fid"), 7, best(1, fid=1.0), {}, {"fid": 2.0}) is Status.STOPPED_EARLY
