import json
import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from pydantic import ValidationError

from bmtune import BornMachine
from bmtune import GenerativeNLL
from bmtune import training
from bmtune.born import EMBEDDINGS
from bmtune.born import get_embedding
from bmtune.config.data import DataConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.evaluation import genloss_floor
from bmtune.training import settle
from bmtune.training import trial
from bmtune.training.recipes import PHASES
from bmtune.training.recipes import cores_of

REPORTED = ("phase", "epoch", "budget", "metrics", "status", "eligible", "best_epoch", "best_metrics")


@lru_cache
def load(dataset, embedding):
    return DataHandler(DataConfig(dataset=dataset), get_embedding(embedding).data_interval)


def config_of(recipe="generative", dataset="moons_small", born=None, metrics=None, evaluation=None, **own):
    field = {"generative": "generative", "adversarial": "adversarial", "classification": "classification"}[recipe]
    trainer = {"classification": {"max_epoch": 2, "batch_size": 50, "optimizer": {"lr": 2e-2}}}
    trainer[field] = {"max_epoch": 3, "batch_size": 50, "optimizer": {"lr": 2e-2}, **own}
    if metrics:
        trainer[field]["metrics"] = metrics
    return TrialConfig.model_validate(
        {
            "recipe": recipe,
            "data": {"dataset": dataset},
            "born": {"physical_dim": 5, "bond_dim": 4, "dtype": "float64", **(born or {})},
            "trainer": trainer,
            "evaluation": {
                "strengths": [0.1],
                "attack": {"steps": 2},
                "num_samples": 40,
                "num_bins": 20,
                **(evaluation or {}),
            },
        }
    )


def problem_of(recipe="generative", criterion_object=None, **fields):
    config = config_of(recipe, **fields)
    data = load(config.data.dataset, config.born.embedding)
    return training.make_problem(config, data, criterion=criterion_object)


def run(problem):
    state, reports = training.start(problem), []
    while not state.status.ended:
        state, report = training.advance(problem, state)
        reports.append(report)
    return state, reports


def log_partition(problem, state):
    return BornMachine(problem.chain, state.cores).log_partition().item()


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("embedding", list(EMBEDDINGS))
@pytest.mark.parametrize("criterion", [{"name": "nll"}, {"name": "mixed", "alpha": 0.3}])
def test_every_number_type_trains_and_stays_above_the_floor(dtype, embedding, criterion):
    problem = problem_of(born={"dtype": dtype, "embedding": embedding}, criterion=criterion)
    before = training.start(problem).cores
    state, reports = run(problem)
    assert state.status is training.Status.FINISHED
    assert {tensor.dtype for tensor in state.cores} == {getattr(torch, dtype)}
    assert all(not torch.equal(x, y) for x, y in zip(before, state.cores, strict=True) if x.numel())
    losses = [report.metrics["genloss"] for report in reports]
    assert losses[-1] < losses[0]
    assert min(losses) > genloss_floor(problem.chain, problem.splits["valid"])


def test_mixed_without_joint_part_is_classification_and_with_nothing_else_is_nll():
    def cores(recipe="generative", **fields):
        return run(problem_of(recipe, **fields))[0].cores

    for one, other in (
        (cores(criterion={"name": "mixed", "alpha": 1.0}), cores(criterion={"name": "nll"})),
        (cores(criterion={"name": "generative-nll", "kwargs": {"eps": 1e-8}}), cores(criterion={"name": "nll"})),
    ):
        for core, same in zip(one, other, strict=True):
            torch.testing.assert_close(core, same, rtol=1e-9, atol=1e-9)
    problem = problem_of(criterion={"name": "mixed", "alpha": 0.0})
    plain = problem_of("classification", max_epoch=3)
    # The same batches: the seeds of the passes differ from phase to phase.
    recipe, classify = PHASES["gen"], PHASES["pre"]
    first = training.start(problem).cores
    players = recipe.start(trial.SOLO, problem, first, 0)
    others = classify.start(trial.SOLO, plain, first, 0)
    for _, batch in recipe.batches(problem, 5, 1):
        one = recipe.step(trial.SOLO, problem, players, batch)
        other = classify.step(trial.SOLO, plain, others, batch)
        players, others = one.players, other.players
        torch.testing.assert_close(one.losses["train/loss"], other.losses["train/loss"], rtol=1e-10, atol=0)
    for core, same in zip(players[0].params, others[0].params, strict=True):
        torch.testing.assert_close(core, same, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("born", [{"dtype": "float64"}, {"dtype": "complex128", "embedding": "hermite"}])
@pytest.mark.parametrize("dataset", ["moons_small", "iris"])
@pytest.mark.parametrize(("target", "log_z"), [(1.0, 0.0), (50.0, math.log(50)), ("start", None)])
def test_norm_control_brings_z_to_its_target_and_moves_no_density(born, dataset, target, log_z):
    problem = problem_of(dataset=dataset, born=born, batch_size=25, norm_control={"every": 1, "target": target})
    state = training.start(problem)
    asked = log_partition(problem, state) if log_z is None else log_z
    recipe = PHASES["gen"]
    free = problem_of(dataset=dataset, born=born, batch_size=25)
    rows = problem.splits["valid"].x
    for _, batch in recipe.batches(problem, 0, 1):
        before = state.players
        held = recipe.step(trial.SOLO, problem, before, batch)
        loose = recipe.step(trial.SOLO, free, before, batch)
        machines = [BornMachine(problem.chain, cores_of(step.players)) for step in (held, loose)]
        assert machines[0].log_partition().item() == pytest.approx(asked, abs=1e-10)
        torch.testing.assert_close(machines[0].log_joint(rows), machines[1].log_joint(rows), rtol=0, atol=1e-10)
        state = replace(state, players=held.players)
    assert abs(machines[1].log_partition().item() - asked) > 1e-3


def test_norm_control_acts_at_every_k_th_step_only():
    problem = problem_of(batch_size=25, norm_control={"every": 3, "target": 7.0})
    recipe, players, near = PHASES["gen"], training.start(problem).players, []
    log_target = math.log(7)
    for epoch in (1, 2):
        for _, batch in recipe.batches(problem, epoch, epoch):
            players = recipe.step(trial.SOLO, problem, players, batch).players
            machine = BornMachine(problem.chain, cores_of(players))
            near.append(abs(machine.log_partition().item() - log_target) < 1e-10)
    assert near == [step % 3 == 0 for step in range(1, len(near) + 1)]
    assert len(near) > 8


def test_the_soft_penalty_is_added_to_the_loss_and_holds_z():
    plain = problem_of(norm_control={"target": 9.0})
    soft = problem_of(norm_control={"penalty": 0.4, "target": 9.0})
    state, recipe = training.start(plain), PHASES["gen"]
    (_, batch), *_ = recipe.batches(plain, 0, 1)
    losses = [
        recipe.step(trial.SOLO, problem, training.start(problem).players, batch).losses["train/loss"]
        for problem in (plain, soft)
    ]
    log_target = math.log(9)
    penalty = 0.4 * (log_partition(plain, state) - log_target) ** 2
    assert (losses[1] - losses[0]).item() == pytest.approx(penalty, rel=1e-9)
    ends = []
    for penalty in (0.0, 10.0):
        problem = problem_of(max_epoch=10, norm_control={"penalty": penalty, "target": 9.0})
        ends.append(abs(log_partition(problem, run(problem)[0]) - log_target))
    assert ends[1] < 0.2 * ends[0]


@pytest.mark.parametrize("recipe", ["generative", "adversarial"])
@pytest.mark.parametrize("pretrain", [False, True])
def test_pretraining_is_optional_and_spends_no_budget(recipe, pretrain):
    problem = problem_of(recipe, pretrain=pretrain)
    state, reports = run(problem)
    main = {"generative": "gen", "adversarial": "adv"}[recipe]
    assert [report.phase for report in reports] == ["pre"] * (2 * pretrain) + [main] * 3
    assert [report.epoch for report in reports] == [1, 2] * pretrain + [1, 2, 3]
    assert [report.budget for report in reports] == [0, 0] * pretrain + [1, 2, 3]
    assert [report.eligible for report in reports] == [False, False] * pretrain + [True] * 3
    assert state.budget == 3
    measured = set(dict(problem.config.main_trainer.metrics))
    for index, report in enumerate(reports):
        begun = {name.removeprefix("start/") for name in report.metrics if name.startswith("start/")}
        assert begun == (measured if pretrain and index == 1 else set())
    names = {f"{main}/avg_epoch_time_s"} | ({"pre/avg_epoch_time_s"} if pretrain else set())
    assert set(training.outcome(problem, state).timings) == names


@pytest.mark.parametrize("recipe", ["generative", "adversarial"])
def test_the_main_phase_begins_with_the_best_cores_of_pre(recipe):
    problem = problem_of(recipe, pretrain=True)
    state = training.start(problem)
    while state.phase == "pre":
        state, report = training.advance(problem, state)
    found = settle.measured(problem, state.phase, state.cores, tuple(dict(problem.config.main_metrics)), {})
    assert {f"start/{name}": value for name, value in found.items()}.items() <= report.metrics.items()
    assert state.players[0].optimizer.step == 0
    if recipe == "generative":
        held = problem_of(recipe, pretrain=True, norm_control={"target": "start"})
        players = PHASES["gen"].start(trial.SOLO, held, state.cores, 0)
        assert players[1].params[0].item() == pytest.approx(log_partition(problem, state), abs=1e-12)


@pytest.mark.parametrize(
    ("recipe", "fields"),
    [
        ("generative", {"norm_control": {"every": 2, "penalty": 0.1, "target": "start"}}),
        ("generative", {"born": {"dtype": "complex64"}, "criterion": {"name": "mixed"}}),
        ("adversarial", {"curriculum": {"start": 0.2, "until": 3}}),
        ("adversarial", {"method": {"name": "trades"}, "born": {"dtype": "complex64"}}),
    ],
)
def test_a_trial_resumed_after_any_epoch_goes_on_bit_for_bit(recipe, fields):
    problem = problem_of(recipe, pretrain=True, **fields)
    state, phases = training.start(problem), []
    while not state.status.ended:
        tensors, facts = training.to_checkpoint(state)
        stored = {name: tensor.clone() for name, tensor in tensors.items()}
        resumed = training.from_checkpoint(problem, stored, json.loads(json.dumps(facts, allow_nan=False)))
        state, report = training.advance(problem, state)
        resumed, same = training.advance(problem, resumed)
        assert all(getattr(report, name) == getattr(same, name) for name in REPORTED)
        first, second = (training.to_checkpoint(each)[0] for each in (state, resumed))
        assert first.keys() == second.keys()
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
        phases.append(report.phase)
    assert len(set(phases)) == 2


@pytest.mark.parametrize("penalty", [0.0, 0.2])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_a_users_criterion_that_changes_nothing_trains_the_same(penalty, dtype):
    class Mine(GenerativeNLL):
        def compute_unnormalized_log_prob(self, bornmachine, data, labels):
            return bornmachine.log_weights(data)[torch.arange(len(labels)), labels]

        def compute_log_partition(self, bornmachine, labels):
            return bornmachine.log_partition().expand(len(labels))

    fields = {"born": {"dtype": dtype}, "norm_control": {"penalty": penalty, "every": 2}}
    _, expected = run(problem_of(**fields))
    for criterion in (GenerativeNLL(), Mine()):
        _, reports = run(problem_of(criterion_object=criterion, **fields))
        for report, other in zip(reports, expected, strict=True):
            assert report.metrics == pytest.approx(other.metrics, rel=1e-8)


def test_a_users_criterion_is_what_is_minimised():
    class Conditional(GenerativeNLL):
        """p(x|c): log Z_c of each row's class."""

        def compute_log_partition(self, bornmachine, labels):
            return bornmachine.log_class_partitions()[labels]

    _, expected = run(problem_of())
    _, reports = run(problem_of(criterion_object=Conditional()))
    assert reports[0].metrics["train/loss"] != pytest.approx(expected[0].metrics["train/loss"], rel=1e-3)


def test_a_criterion_that_turns_infinite_in_training_is_a_divergence():
    class Breaking(GenerativeNLL):
        calls = 0

        def compute_log_partition(self, bornmachine, labels):
            self.calls += 1
            return bornmachine.log_partition() * (torch.inf if self.calls > 6 else 1)

    state, reports = run(problem_of(criterion_object=Breaking()))
    assert state.status is training.Status.DIVERGED
    assert reports[-1].eligible is False


@pytest.mark.slow
def test_robustness_at_one_strength_and_pictures_are_measured_when_due():
    metrics = {"genloss": 1, "rob/0.1": 2, "viz": 2}
    state, reports = run(problem_of(metrics=metrics, max_epoch=4))
    assert state.status is training.Status.FINISHED
    assert ["rob/0.1" in report.metrics for report in reports] == [True, True, False, True]
    assert [set(report.pictures) for report in reports] == [{"viz"}, {"viz"}, set(), {"viz"}]
    assert all(png.startswith(b"\x89PNG\r\n") for report in reports for png in report.pictures.values())
    assert not any("viz" in name for report in reports for name in report.metrics)


@pytest.mark.parametrize(
    ("recipe", "fields", "message"),
    [
        ("generative", {"criterion": {"name": "mixed", "alpha": 1.5}}, "less than or equal to 1"),
        ("generative", {"criterion": {"name": "mixed", "alpha": -0.1}}, "greater than or equal to 0"),
        ("generative", {"criterion": {"name": "nll", "alpha": 0.5}}, "alpha"),
        ("generative", {"stop_crit": "fid"}, "stop_crit must be one of the metrics that are measured .*'fid'"),
        ("generative", {"stop_crit": "viz", "metrics": {"viz": 1}}, "viz"),
        ("generative", {"metrics": {"genloss": 1, "rob/2": 1}}, "0 <= eps <= 1 must hold in rob/eps, but got 'rob/2'"),
        ("generative", {"metrics": {"genloss": 1, "rob/nan": 1}}, "0 <= eps <= 1"),
        ("generative", {"metrics": {"genloss": 1, "acc/0.1": 1}}, "a metric must be one of .*'acc/0.1'"),
        ("generative", {"metrics": {"genloss": 0}}, "whole number of epochs >= 1"),
        ("generative", {"norm_control": {"target": 0.0}}, "greater than 0"),
        ("generative", {"norm_control": {"target": "2 ** 3"}}, "start"),
        ("generative", {"norm_control": {"every": -1}}, "greater than or equal to 0"),
        ("adversarial", {"epsilon": 1.5}, "less than or equal to 1"),
        ("adversarial", {"epsilon": -0.1}, "greater than or equal to 0"),
        ("adversarial", {"stop_crit": "genloss"}, "stop_crit must be one of the metrics .*'genloss'"),
        ("adversarial", {"evaluation": {"strengths": [0.1, 2.0]}}, "less than or equal to 1"),
    ],
)
def test_bad_values_are_refused_by_the_configuration(recipe, fields, message):
    with pytest.raises(ValidationError, match=message):
        config_of(recipe, **fields)


@pytest.mark.parametrize("name", ["rob/0.1", "rob_strong/0.05"])
def test_a_metric_at_one_strength_may_be_watched(name):
    config = config_of("adversarial", stop_crit=name, metrics={name: 1, "viz": 3})
    assert config.main_trainer.stop_crit == name
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config
