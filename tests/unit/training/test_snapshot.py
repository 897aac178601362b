import json

import pytest
import torch

from bmtune import training

REPORTED = ("phase", "epoch", "budget", "metrics", "status", "eligible", "best_epoch", "best_metrics")


def facts_without_times(state):
    tensors, facts = training.to_checkpoint(state)
    return tensors, {name: value for name, value in facts.items() if name != "seconds"}


def assert_equal(one, other):
    tensors, facts = facts_without_times(one)
    other_tensors, other_facts = facts_without_times(other)
    assert facts == other_facts
    assert tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensor, other_tensors[name]) for name, tensor in tensors.items())


def said(report):
    return {name: getattr(report, name) for name in REPORTED}


def through_json(problem, state):
    tensors, facts = training.to_checkpoint(state)
    stored = {name: tensor.clone() for name, tensor in tensors.items()}
    return training.from_checkpoint(problem, stored, json.loads(json.dumps(facts, allow_nan=False)))


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_trial_resumed_after_any_epoch_goes_on_bit_for_bit(problem_of, dtype, optimizer):
    lr = 5.0 if optimizer == "sgd" else 0.1
    loud = {"optimizer": {"name": optimizer, "lr": lr}, "tolerance": 0.0, "max_epoch": 2, "retrain_crit": "loss"}
    problem = problem_of(
        born={"dtype": dtype},
        pre={"max_epoch": 2},
        gan=loud,
        retrain={"max_epoch": 2, "optimizer": {"name": optimizer}},
        # Two, so that one resumption is in the middle of the critic's own epochs.
        critic={"pretrain_epochs": 2},
    )
    state, phases = training.start(problem, {"fid": 0.0}), []
    resumed = through_json(problem, state)
    while not state.status.ended:
        assert_equal(resumed, state)
        state, report = training.advance(problem, state)
        resumed, same = training.advance(problem, resumed)
        assert said(report) == said(same)
        assert_equal(resumed, state)
        phases.append(report.phase)
        resumed = through_json(problem, resumed)
    assert set(phases) == {"pre", "critic", "gan", "re"}
    assert resumed.status is state.status
    assert resumed.seconds.keys() == {"pre", "critic", "gan", "re"}


def test_a_state_in_the_middle_of_retraining_remembers_what_it_interrupts(problem_of):
    fields = {"retrain_crit": "loss", "tolerance": 0.0, "max_epoch": 8, "optimizer": {"lr": 3e-2}}
    problem = problem_of(gan=fields, retrain={"max_epoch": 2})
    state = training.start(problem)
    while not (state.phase == "re" and state.main_best):
        state, _ = training.advance(problem, state)
    resumed = through_json(problem, state)
    assert len(resumed.main_players) == 2
    assert resumed.main_players[1].optimizer.step == state.main_players[1].optimizer.step > 0
    assert training.main_best(problem, resumed).epoch == training.main_best(problem, state).epoch > 0
    assert_equal(resumed, state)


def test_the_tensors_of_a_checkpoint_are_the_states_and_names_do_not_collide(problem_of):
    problem = problem_of()
    state, _ = training.advance(problem, training.start(problem))
    tensors, facts = training.to_checkpoint(state)
    names = {"players/0/params/0", "players/0/first/0", "players/0/second/0", "best/edge", "best/centre"}
    assert names <= tensors.keys()
    assert facts["best"]["epoch"] == 1
    assert facts["main_best"] is None


def test_the_best_cores_survive(problem_of, run):
    problem = problem_of()
    state, _ = run(problem)
    resumed = through_json(problem, state)
    before, after = (training.outcome(problem, each) for each in (state, resumed))
    assert before.epoch == after.epoch
    assert before.valid == after.valid
    assert before.test == after.test
    assert all(torch.equal(x, y) for x, y in zip(before.cores, after.cores, strict=True))


def test_what_no_epoch_beats_survives_so_that_a_resumed_trial_chooses_the_same_epochs(problem_of):
    # What is learned of the classes is lost of the rows' density.
    metrics = {"acc": 1, "loss": 1, "genloss": 1}
    fields = {"max_epoch": 8, "metrics": metrics, "stop_crit": "acc", "patience": 8}
    problem = problem_of(
        "classification", pre=fields, best_epoch={"objectives": ["genloss"], "constraints": ["loss<=9"]}
    )
    state = training.start(problem)
    fronts = []
    while not state.status.ended:
        state, report = training.advance(problem, through_json(problem, state))
        best = training.main_best(problem, state)
        if best is not None:
            assert (best.epoch, best.metrics) == (report.best_epoch, report.best_metrics)
            assert best.front[-1] == problem.config.aims.point(best.metrics)
            assert through_json(problem, state) is not state
            assert training.main_best(problem, through_json(problem, state)).front == best.front
            fronts.append(len(best.front))
    assert max(fronts) > 1
