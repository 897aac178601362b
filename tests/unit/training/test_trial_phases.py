import pytest
import torch

from bmtune import training
from bmtune.training import Status
from bmtune.training import settle
from bmtune.training.epoch import batches

LOUD = {"optimizer": {"lr": 0.1}, "tolerance": 0.0}
"""A generator step that costs the classifier accuracy, and no tolerance of it."""


def of_phase(reports, phase):
    return [report for report in reports if report.phase == phase]


def in_order(reports):
    return "".join(report.phase[0] for report in reports)


def check_bookkeeping(reports, last_budget):
    """Each (phase, epoch) once and in order; each budget is reached in exactly one report, one step at a time."""
    for phase in {report.phase for report in reports}:
        epochs = [report.epoch for report in of_phase(reports, phase)]
        assert epochs == list(range(1, len(epochs) + 1))
    steps = [after.budget - before for before, after in zip([0, *(r.budget for r in reports)], reports, strict=False)]
    assert set(steps) <= {0, 1}
    assert sum(steps) == last_budget
    assert all(report.status is Status.RUNNING for report in reports[:-1])
    assert reports[-1].status.ended


def test_classification_is_one_phase_and_counts_its_epochs(problem_of, run):
    state, reports = run(problem_of("classification"))
    assert in_order(reports) == "ppp"
    assert [report.budget for report in reports] == [1, 2, 3]
    assert all(report.eligible for report in reports)
    assert reports[-1].status is state.status is Status.FINISHED
    check_bookkeeping(reports, 3)


def test_gan_pretrains_without_spending_its_budget(problem_of, run):
    state, reports = run(problem_of())
    assert in_order(reports) == "pppcggg"
    assert [report.budget for report in reports] == [0, 0, 0, 0, 1, 2, 3]
    assert [report.eligible for report in reports] == [False] * 4 + [True] * 3
    assert all(report.best_epoch is None for report in reports[:4])
    assert state.budget == 3
    check_bookkeeping(reports, 3)


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_the_critic_alone_is_trained_for_exactly_its_epochs_before_the_game(problem_of, run, epochs):
    state, reports = run(problem_of(critic={"pretrain_epochs": epochs}))
    assert in_order(reports) == "ppp" + "c" * epochs + "ggg"
    for report in of_phase(reports, "critic"):
        assert report.metrics.keys() == {"train/d_loss", "train/grad_norm"}
        assert report.metrics["train/grad_norm"] > 0
        assert (report.budget, report.eligible, report.status) == (0, False, Status.RUNNING)
        assert report.best_epoch is report.best_metrics is None
    assert ("critic" in state.seconds) == ("critic" in state.epochs) == (epochs > 0)
    check_bookkeeping(reports, 3)


@pytest.mark.parametrize("loss", ["bce", "wgan-gp"])
def test_the_phase_of_the_critic_trains_the_critic_alone(problem_of, loss):
    problem = problem_of(critic={"pretrain_epochs": 3, "loss": {"name": loss}})
    state = training.start(problem)
    while state.phase == "pre":
        state, _ = training.advance(problem, state)
    cores, num_batches = [core.clone() for core in state.cores], len(list(batches(problem, "critic", 1)))
    for epoch in (1, 2, 3):
        assert state.phase == "critic"
        later, _ = training.advance(problem, state)
        assert all(torch.equal(before, after) for before, after in zip(cores, later.cores, strict=True))
        assert later.players[0].optimizer.step == 0
        assert not any(moment.any() for moment in later.players[0].optimizer.first)
        moved = zip(state.players[1].params, later.players[1].params, strict=True)
        *others, bias = [not torch.equal(before, after) for before, after in moved]
        # The last bias takes no part in a difference of scores.
        assert all(others)
        assert bias or loss == "wgan-gp"
        # One update a batch, whatever `steps` says of the game.
        assert later.players[1].optimizer.step == epoch * num_batches
        state = later
    assert (state.phase, state.visit_epoch, state.budget) == ("gan", 0, 0)


def test_the_last_pre_report_tells_what_the_gan_phase_starts_from(problem_of, run):
    problem = problem_of(pre={"max_epoch": 6, "optimizer": {"lr": 0.2}, "stop_crit": "acc"})
    _, reports = run(problem)
    pre = of_phase(reports, "pre")
    assert not any(name.startswith("start/") for report in pre[:-1] for name in report.metrics)
    best = max(pre, key=lambda report: report.metrics["acc"])
    assert best is not pre[-1]
    assert pre[-1].metrics["start/acc"] == best.metrics["acc"]
    assert pre[-1].metrics["start/loss"] == best.metrics["loss"]
    assert pre[-1].metrics["start/fid"] > 0


def test_zero_tolerance_brings_retraining_before_the_epoch_counts(problem_of, run):
    _, reports = run(problem_of(gan=LOUD))
    assert in_order(reports).startswith("pppcgr")
    broken = reports[4]
    assert (broken.eligible, broken.budget, broken.status) == (False, 0, Status.RUNNING)
    assert "fid" in broken.metrics
    for before, report, after in zip(reports, reports[1:], [*reports[2:], None], strict=False):
        if report.phase == "re":
            is_last = after is None or after.phase == "gan"
            assert report.budget == before.budget + is_last
            assert ("fid" in report.metrics) == is_last
            assert report.eligible <= is_last
    check_bookkeeping(reports, 3)


def test_the_last_re_report_measures_the_cores_that_training_goes_on_with(problem_of):
    problem = problem_of(gan=LOUD)
    state = training.start(problem)
    while not (state.phase == "gan" and state.budget == 1):
        state, report = training.advance(problem, state)
    assert report.phase == "re"
    again = settle.measured(problem, state.phase, state.cores, ("acc", "loss", "fid"), {})
    assert again == {name: report.metrics[name] for name in again}


def test_the_relative_rise_of_the_loss_can_be_what_is_watched(problem_of, run):
    fields = {"retrain_crit": "loss", "optimizer": {"lr": 1e-2}}
    _, patient = run(problem_of(gan={**fields, "tolerance": 1e6}))
    assert in_order(patient) == "pppcggg"
    goal = patient[2].metrics["start/loss"]
    rise = patient[4].metrics["loss"] / goal - 1
    assert rise > 0
    _, under = run(problem_of(gan={**fields, "tolerance": 0.99 * rise}))
    _, over = run(problem_of(gan={**fields, "tolerance": 1.01 * rise}))
    assert in_order(under).startswith("pppcgr")
    assert in_order(over).startswith("pppcgg")


def test_retraining_stops_when_the_goal_is_reached_again(problem_of, run):
    _, reports = run(
        problem_of(gan={**LOUD, "retrain_crit": "loss", "max_epoch": 2}, retrain={"max_epoch": 60, "patience": 60})
    )
    goal, visit = reports[2].metrics["start/loss"], []
    assert in_order(reports).startswith("pppcgr")
    for report in reports[5:]:
        if report.phase == "gan":
            break
        visit.append(report)
    assert 1 < len(visit) < 60
    assert visit[-1].metrics["loss"] <= goal
    assert all(report.metrics["loss"] > goal for report in visit[:-1])
    assert visit[-1].eligible


def test_retraining_ends_after_its_epochs_and_its_patience(problem_of, run):
    frozen = {"optimizer": {"name": "sgd", "lr": 1e-12}}
    _, reports = run(problem_of(gan={**LOUD, "max_epoch": 1}, retrain={"max_epoch": 5, "patience": 2, **frozen}))
    assert in_order(reports) in ("pppcgrrr", "pppcgrrrr")
    _, reports = run(problem_of(gan={**LOUD, "max_epoch": 1}, retrain={"max_epoch": 2, "patience": 9, **frozen}))
    assert in_order(reports) == "pppcgrr"


def test_an_epoch_that_stays_outside_the_tolerance_is_never_the_best(problem_of, run):
    problem = problem_of(
        gan={**LOUD, "max_epoch": 2}, retrain={"max_epoch": 1, "optimizer": {"name": "sgd", "lr": 1e-12}}
    )
    state, reports = run(problem)
    assert reports[-1].status is Status.FINISHED
    assert not any(report.eligible for report in reports)
    assert reports[-1].best_epoch is reports[-1].best_metrics is None
    assert training.main_best(problem, state) is None
    assert training.outcome(problem, state) is None
    check_bookkeeping(reports, 2)


def test_the_best_epoch_is_the_best_eligible_one(problem_of, run):
    fields = {"retrain_crit": "loss", "tolerance": 0.0, "max_epoch": 6, "optimizer": {"lr": 3e-2}}
    _, reports = run(problem_of(gan=fields, retrain={"max_epoch": 2}))
    assert {report.eligible for report in reports if "fid" in report.metrics} == {True, False}
    best = None
    for report in reports:
        if report.eligible and (best is None or report.metrics["fid"] < best.metrics["fid"]):
            best = report
        assert report.best_epoch == (best.budget if best else None)
        assert report.best_metrics == (
            {name: best.metrics[name] for name in report.best_metrics} if report.best_metrics else None
        )


def test_metrics_are_measured_at_the_first_epoch_and_every_k(problem_of, run):
    schedule = {"acc": 1, "loss": 2, "fid": 3}
    _, reports = run(problem_of(gan={"max_epoch": 6, "metrics": schedule, "patience": 9}))
    found = [sorted(set(report.metrics) & set(schedule)) for report in of_phase(reports, "gan")]
    assert found == [
        ["acc", "fid", "loss"],
        ["acc", "loss"],
        ["acc", "fid"],
        ["acc", "loss"],
        ["acc"],
        ["acc", "fid", "loss"],
    ]


def test_training_losses_are_reported_beside_the_metrics(problem_of, run):
    _, reports = run(problem_of())
    assert all("train/loss" in report.metrics for report in of_phase(reports, "pre"))
    for report in of_phase(reports, "gan"):
        assert {"train/g_loss", "train/d_loss"} <= set(report.metrics)
    assert all(report.seconds > 0 for report in reports)


def test_an_ended_trial_trains_no_further_epoch(problem_of, run):
    problem = problem_of("classification")
    state, _ = run(problem)
    with pytest.raises(AssertionError, match="ended"):
        training.advance(problem, state)


def test_a_step_leaves_the_state_it_was_given_as_it_was(problem_of):
    problem = problem_of()
    state = training.start(problem)
    for _ in range(5):
        tensors, facts = training.to_checkpoint(state)
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        later, _ = training.advance(problem, state)
        assert training.to_checkpoint(state)[1] == facts
        assert all(torch.equal(tensor, before[name]) for name, tensor in training.to_checkpoint(state)[0].items())
        state = later


def test_retraining_that_reaches_its_goal_keeps_the_cores_that_reached_it(problem_of, run):
    # Seen: within one visit the best class loss and the accuracy that was asked for came at different epochs.
    retrain = {"max_epoch": 30, "patience": 30, "optimizer": {"lr": 0.1}}
    gan = {**LOUD, "max_epoch": 4}
    _, reports = run(problem_of(gan=gan, retrain=retrain, seed=7))
    length, by_goal = 0, []
    for before, report in zip([None, *reports], reports, strict=False):
        length = length + 1 if report.phase == "re" else 0
        if report.phase == "re" and report.budget > before.budget and length < 30:
            by_goal.append(report)
    assert by_goal, "the generator's large steps must cost accuracy that retraining wins back"
    assert all(report.eligible for report in by_goal)
