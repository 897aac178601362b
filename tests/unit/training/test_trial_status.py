import math

import pytest

from bmtune import training
from bmtune.config.metrics import due
from bmtune.training import Status
from bmtune.training import settle


def test_a_status_says_what_a_user_reads():
    assert [status.name for status in Status if not status.ended] == ["RUNNING"]
    assert all(status.value and status.value == status.value.strip() for status in Status)
    assert len({status.value for status in Status}) == len(Status)


@pytest.mark.parametrize("recipe", ["classification", "gan"])
def test_patience_stops_a_trial_that_does_not_improve(problem_of, run, recipe):
    frozen = {
        "optimizer": {"name": "sgd", "lr": 1e-30},
        "max_epoch": 30,
        "patience": 4,
        "metrics": {"acc": 1, "loss": 1},
    }
    pre = frozen if recipe == "classification" else {"max_epoch": 1}
    state, reports = run(problem_of(recipe, pre=pre, gan={**frozen, "stop_crit": "loss"}))
    assert state.status is Status.STOPPED_EARLY
    assert reports[-1].budget == 5
    assert reports[-1].best_epoch == 1


def test_a_gan_trial_goes_on_when_its_pretraining_lost_patience(problem_of, run):
    pre = {"optimizer": {"name": "sgd", "lr": 1e-30}, "max_epoch": 30, "patience": 2}
    state, reports = run(problem_of(pre=pre, gan={"max_epoch": 2}))
    assert [report.phase for report in reports] == ["pre"] * 3 + ["critic"] + ["gan"] * 2
    assert state.status is Status.FINISHED


def test_a_goal_ends_the_main_phase(problem_of, run):
    _, free = run(problem_of("classification", pre={"max_epoch": 12}))
    goal = free[3].metrics["loss"]
    state, reports = run(problem_of("classification", pre={"max_epoch": 12}), goal={"loss": goal})
    assert state.status is Status.GOAL_REACHED
    assert len(reports) == 4
    both = {"loss": goal, "acc": 2.0}
    state, reports = run(problem_of("classification", pre={"max_epoch": 12}), goal=both)
    assert state.status is Status.FINISHED
    assert len(reports) == 12


def test_a_goal_does_not_end_the_pretraining_of_a_gan_trial(problem_of, run):
    state, reports = run(problem_of(), goal={"acc": 0.0})
    assert [report.phase for report in reports] == ["pre", "pre", "pre", "critic", "gan"]
    assert state.status is Status.GOAL_REACHED


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_a_classifier_that_leaves_the_numbers_is_a_status(problem_of, run, lr):
    state, reports = run(problem_of("classification", pre={"optimizer": {"name": "sgd", "lr": lr}}))
    assert state.status is reports[-1].status is Status.DIVERGED
    assert len(reports) == 1
    assert not reports[-1].eligible
    assert reports[-1].best_epoch is None


@pytest.mark.parametrize("recipe", ["classification", "gan"])
def test_sgd_at_a_huge_rate_never_raises(problem_of, run, recipe):
    huge = {"optimizer": {"name": "sgd", "lr": 1e6}}
    state, _ = run(problem_of(recipe, pre=huge, gan=huge, retrain=huge))
    assert state.status.ended


@pytest.mark.parametrize("loss", ["bce", "wgan-gp"])
@pytest.mark.parametrize(
    ("who", "pretrain_epochs", "phase"),
    [("generator", 1, "gan"), ("generator", 0, "gan"), ("critic", 1, "critic"), ("critic", 0, "gan")],
)
def test_a_game_that_leaves_the_numbers_is_a_status(problem_of, run, loss, who, pretrain_epochs, phase):
    broken = {"optimizer": {"name": "sgd", "lr": 1e38}}
    state, reports = run(
        problem_of(
            gan=broken if who == "generator" else {},
            critic={
                "loss": {"name": loss},
                "pretrain_epochs": pretrain_epochs,
                **(broken if who == "critic" else {}),
            },
        )
    )
    assert state.status is reports[-1].status is Status.DIVERGED
    assert (reports[-1].phase, reports[-1].epoch) == (phase, 1)
    assert reports[-1].budget == 0
    assert not reports[-1].eligible


def test_what_was_best_before_divergence_is_kept(problem_of):
    problem = problem_of("classification")
    state, first = training.advance(problem, training.start(problem))
    spoiled = problem_of("classification", pre={"optimizer": {"name": "sgd", "lr": 1e38}})
    state, report = training.advance(spoiled, state)
    assert state.status is Status.DIVERGED
    assert report.best_epoch == 1
    assert report.best_metrics == first.metrics
    assert training.outcome(problem, state).test["acc"] > 0.5


class Spoiled:
    """`measure` with one metric replaced at chosen calls."""

    def __init__(self, name, value, at):
        self.name, self.value, self.at, self.calls, self.used = name, value, at, 0, 0
        self.honest = settle.measure

    def __call__(self, *arguments, **options):
        found = self.honest(*arguments, **options)
        # The critic's own epochs measure nothing.
        self.calls += bool(found)
        if self.at(self.calls) and self.name in found:
            found[self.name], self.used = self.value, self.used + 1
        return found


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_metric_that_is_not_finite_is_never_skipped_at_an_epoch(problem_of, run, monkeypatch, value):
    spoiled = Spoiled("fid", value, lambda call: call == 6)
    monkeypatch.setattr(settle, "measure", spoiled)
    state, reports = run(problem_of())
    assert spoiled.used == 1
    assert state.status is Status.DIVERGED
    assert [report.phase for report in reports] == ["pre", "pre", "pre", "critic", "gan", "gan"]
    assert reports[-1].best_epoch == 1


def test_a_start_of_the_gan_phase_that_is_not_finite_is_never_skipped(problem_of, run, monkeypatch):
    spoiled = Spoiled("fid", math.nan, lambda call: call == 4)
    monkeypatch.setattr(settle, "measure", spoiled)
    state, reports = run(problem_of())
    assert spoiled.used == 1
    assert state.status is Status.DIVERGED
    assert len(reports) == 3


def test_a_retrained_epoch_that_is_not_finite_is_never_skipped(problem_of, run, monkeypatch):
    spoiled = Spoiled("fid", math.nan, lambda call: call == 7)
    monkeypatch.setattr(settle, "measure", spoiled)
    state, reports = run(
        problem_of(
            gan={"optimizer": {"lr": 0.1}, "tolerance": 0.0}, retrain={"max_epoch": 1, "optimizer": {"lr": 1e-6}}
        )
    )
    assert spoiled.used == 1
    assert [report.phase for report in reports] == ["pre", "pre", "pre", "critic", "gan", "re"]
    assert state.status is Status.DIVERGED
    assert not reports[-1].eligible


def test_a_perfect_classifier_can_be_watched_by_its_loss(problem_of, run, monkeypatch):
    perfect = Spoiled("loss", 0.0, lambda call: call <= 5)
    monkeypatch.setattr(settle, "measure", perfect)
    state, reports = run(
        problem_of(gan={"retrain_crit": "loss", "tolerance": 1.0, "max_epoch": 2}, retrain={"max_epoch": 1})
    )
    assert perfect.used == 5
    # Equal to a goal of 0 is within the tolerance; anything above it is not.
    assert [report.phase for report in reports] == ["pre", "pre", "pre", "critic", "gan", "gan", "re"]
    assert state.status is Status.FINISHED


def test_due_is_the_first_epoch_and_every_multiple():
    schedule = (("acc", 1), ("fid", 3))
    assert [due(schedule, epoch) for epoch in range(1, 8)] == [
        ("acc", "fid"),
        ("acc",),
        ("acc", "fid"),
        ("acc",),
        ("acc",),
        ("acc", "fid"),
        ("acc",),
    ]
