"""A trial that takes the result of pre-training is the trial that trains it, but for the time that it takes."""

from dataclasses import replace

import pytest
import torch

from bmtune import training
from bmtune.config.paths import with_values
from bmtune.packing import Lane
from bmtune.packing import advance_lanes

REPORTED = ("phase", "epoch", "budget", "metrics", "status", "eligible", "best_epoch", "best_metrics")
MAIN = {"gan": "gan", "generative": "gen", "adversarial": "adv"}
SMALL = {
    "trainer.generative": {"pretrain": True, "max_epoch": 2, "batch_size": 50},
    "trainer.adversarial": {"pretrain": True, "max_epoch": 2, "batch_size": 50},
}


@pytest.fixture
def trial_of(problem_of):
    """A problem whose trial pre-trains from a seed of its own."""

    def build(recipe, dtype="float32", **values):
        problem = problem_of(recipe="gan", born={"dtype": dtype}, gan={"max_epoch": 2}, pre={"max_epoch": 4})
        fields = {f"{path}.{name}": value for path, part in SMALL.items() for name, value in part.items()}
        config = with_values(problem.config, {**fields, "recipe": recipe, "pre_seed": 11, **values})
        return replace(problem, config=config)

    return build


def pretrained(problem):
    """The state right after `pre`, and the report that brought it."""
    state = training.start(problem)
    while state.phase == "pre":
        assert training.pre_result(problem, state) is None
        state, report = training.advance(problem, state)
    return state, report


def facts_of(state):
    tensors, facts = training.to_checkpoint(state)
    return tensors, {name: value for name, value in facts.items() if name not in ("seconds", "epochs")}


def assert_equal(one, other):
    tensors, facts = facts_of(one)
    other_tensors, other_facts = facts_of(other)
    assert facts == other_facts
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensor, other_tensors[name]) for name, tensor in tensors.items())


def said(report):
    return {name: getattr(report, name) for name in REPORTED}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recipe", MAIN)
@pytest.mark.parametrize("pretrain_epochs", [0, 1])
def test_a_taken_result_and_a_trained_one_lead_to_the_same_trial(trial_of, recipe, dtype, pretrain_epochs):
    critic = {"trainer.ganstyle.critic.pretrain_epochs": pretrain_epochs}
    giver = trial_of(recipe, dtype, seed=1, **critic)
    taker = trial_of(recipe, dtype, seed=2, **critic, **{f"{main_section(recipe)}.optimizer.lr": 3e-3})
    given = training.pre_result(giver, pretrained(giver)[0])
    assert 1 <= given.epochs <= 4
    trained, report = pretrained(taker)
    taken, metrics = training.with_pre_result(taker, given)
    assert taken.epochs == {} == taken.seconds
    assert_equal(taken, trained)
    assert metrics == {name: value for name, value in report.metrics.items() if name.startswith("start/")} != {}
    while not trained.status.ended:
        trained, report = training.advance(taker, trained)
        taken, same = training.advance(taker, taken)
        assert said(same) == said(report)
        assert_equal(taken, trained)
    assert taken.epochs.get("pre") is None
    assert training.outcome(taker, taken).test == training.outcome(taker, trained).test


def main_section(recipe):
    return "trainer.ganstyle" if recipe == "gan" else f"trainer.{recipe}"


@pytest.mark.parametrize("recipe", MAIN)
def test_a_goal_of_the_main_phase_is_kept(trial_of, recipe):
    problem = trial_of(recipe)
    given = training.pre_result(problem, pretrained(problem)[0])
    state, _ = training.with_pre_result(problem, given, {"loss": 1e6})
    while state.phase != MAIN[recipe]:
        state, _ = training.advance(problem, state)
    state, _ = training.advance(problem, state)
    assert state.status is training.Status.GOAL_REACHED


def test_pretraining_has_its_own_seed_and_the_main_phase_the_trials(trial_of):
    trials = [trial_of("gan", seed=seed, **{"pre_seed": pre}) for seed, pre in ((1, 11), (2, 11), (1, 12))]
    states = [pretrained(problem)[0] for problem in trials]
    equal = [torch.equal(state.cores.bulk, states[0].cores.bulk) for state in states]
    equal_edges = [torch.equal(state.cores.edge, states[0].cores.edge) for state in states]
    assert (equal_edges, equal[:2]) == ([True, True, False], [True, True])
    critics = [state.players[1].params[0] for state in states]
    assert not torch.equal(critics[0], critics[1])
    assert torch.equal(critics[0], critics[2])


def test_samples_that_choose_the_best_pretrained_epoch_are_drawn_from_its_seed(trial_of):
    metrics = {"trainer.classification.metrics": {"fid": 1, "loss": 1}, "trainer.classification.stop_crit": "fid"}
    first, second = (
        training.advance(p, training.start(p))[1] for p in (trial_of("gan", seed=s, **metrics) for s in (1, 2))
    )
    assert first.metrics == second.metrics
    lanes = [Lane(p, training.start(p)) for p in (trial_of("gan", "float64", seed=s, **metrics) for s in (1, 2))]
    (_, packed), (_, beside) = advance_lanes(lanes)
    assert packed.metrics == beside.metrics


def test_without_a_seed_of_its_own_pretraining_uses_the_trials(trial_of):
    plain, same = trial_of("gan", seed=4, pre_seed=None), trial_of("gan", seed=4, pre_seed=4)
    assert_equal(pretrained(plain)[0], pretrained(same)[0])


def test_the_seed_of_pretraining_changes_nothing_where_none_comes_first(problem_of):
    problem = problem_of(recipe="classification", seed=3)
    other = replace(problem, config=with_values(problem.config, {"pre_seed": 8}))
    one, two = (training.advance(each, training.start(each))[0] for each in (problem, other))
    assert_equal(one, two)
    assert training.pre_result(problem, one) is None


def test_nothing_is_left_by_states_that_are_not_fresh(trial_of):
    problem = trial_of("gan")
    state, _ = pretrained(problem)
    assert training.pre_result(problem, state) is not None
    while not state.status.ended:
        state, _ = training.advance(problem, state)
        assert training.pre_result(problem, state) is None


@pytest.mark.parametrize("recipe", MAIN)
def test_a_start_that_is_not_finite_is_a_trial_that_diverged(trial_of, recipe):
    problem = trial_of(recipe)
    given = training.pre_result(problem, pretrained(problem)[0])
    broken = given._replace(cores=given.cores._replace(centre=given.cores.centre * float("nan")))
    state, metrics = training.with_pre_result(problem, broken)
    assert state.status is training.Status.DIVERGED
    assert metrics == {}
