import math
import random

import pytest

from bmtune.config.aims import aims_of
from bmtune.records import beats
from bmtune.training.recipes.base import PhaseRules
from bmtune.training.status import Status
from bmtune.training.watch import Best
from bmtune.training.watch import better
from bmtune.training.watch import latest_unbeaten
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


ACC_ROB = aims_of(("acc", "rob"))
ACC_BELOW = aims_of(("acc",), ("fid <= 0.1",))


def chosen(aims, *epochs):
    """The best epoch after each of these."""
    found, told = None, []
    for number, metrics in enumerate(epochs, start=1):
        found = latest_unbeaten(found, best(number, **metrics), aims)
        told.append(None if found is None else found.epoch)
    return told


def test_with_several_objectives_the_latest_epoch_counts_that_none_before_it_equals_or_beats():
    epochs = [
        {"acc": 0.5, "rob": 0.5},
        {"acc": 0.9, "rob": 0.2},
        {"acc": 0.9, "rob": 0.2},  # equal
        {"acc": 0.4, "rob": 0.5},  # beaten by the first one, though not by the one that is the best now
        {"acc": 0.8, "rob": 0.4},  # nothing before is as good in both
        {"acc": 0.95, "rob": 0.6},  # beats all
        {"acc": 0.9, "rob": 0.55},
    ]
    assert chosen(ACC_ROB, *epochs) == [1, 2, 2, 2, 5, 6, 6]


def test_an_epoch_that_satisfies_the_constraints_comes_before_a_better_one_that_does_not():
    epochs = [{"acc": 0.9, "fid": 0.5}, {"acc": 0.5, "fid": 0.3}, {"acc": 0.4, "fid": 0.1}, {"acc": 0.9, "fid": 0.2}]
    assert chosen(ACC_BELOW, *epochs) == [1, 2, 3, 3]
    assert chosen(ACC_BELOW, *epochs, {"acc": 0.4, "fid": 0.01}, {"acc": 0.41, "fid": 0.1})[-2:] == [3, 6]


def test_an_epoch_that_lacks_a_metric_or_has_no_finite_one_is_never_the_best():
    assert chosen(ACC_ROB, {"acc": 0.9}, {"acc": 0.9, "rob": math.nan}, {"acc": 0.1, "rob": 0.1}) == [None, None, 3]


def test_with_one_objective_it_is_the_epoch_that_one_objective_chooses():
    rng = random.Random(0)
    one = aims_of(("acc",))
    for _ in range(50):
        found = other = None
        for number in range(1, 12):
            candidate = best(number, acc=rng.randint(0, 5) / 5)
            found, other = latest_unbeaten(found, candidate, one), better(other, candidate, "acc")
            assert found.epoch == other.epoch


def test_the_best_epoch_is_the_latest_of_those_that_no_epoch_beats():
    rng = random.Random(1)
    for _ in range(200):
        epochs = [{"acc": rng.randint(0, 4) / 4, "rob": rng.randint(0, 4) / 4} for _ in range(8)]
        points = [ACC_ROB.point(metrics) for metrics in epochs]
        unbeaten = [point for point in points if not any(beats(other, point) for other in points)]
        # Of equal epochs the first one counts.
        latest = max(points.index(point) for point in unbeaten)
        assert chosen(ACC_ROB, *epochs)[-1] == latest + 1
