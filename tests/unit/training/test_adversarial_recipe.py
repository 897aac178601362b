from functools import lru_cache

import pytest
import torch

from bmtune import training
from bmtune.born import get_embedding
from bmtune.born import start_cores
from bmtune.config.data import DataConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.evaluation import measure
from bmtune.training.engine import SoloEngine
from bmtune.training.recipes import Adversarial
from bmtune.training.recipes import Classification
from bmtune.training.recipes import cores_of
from bmtune.training.recipes.adversarial import strength_at

ENGINE = SoloEngine()
PGD_AT, TRADES = {"name": "pgd-at"}, {"name": "trades"}


@lru_cache
def load(dataset, embedding):
    return DataHandler(DataConfig(dataset=dataset), get_embedding(embedding).data_interval)


def problem_of(method=PGD_AT, dataset="moons_small", born=None, **adversarial):
    optimizer = {"lr": 2e-2}
    config = TrialConfig.model_validate(
        {
            "recipe": "adversarial",
            "data": {"dataset": dataset},
            "born": {"physical_dim": 6, "bond_dim": 4, "dtype": "float64", **(born or {})},
            "trainer": {
                "classification": {"max_epoch": 2, "batch_size": 50, "optimizer": optimizer},
                "adversarial": {
                    "max_epoch": 2,
                    "batch_size": 50,
                    "optimizer": optimizer,
                    "method": method,
                    "attack": {"steps": 3},
                    **adversarial,
                },
            },
            "evaluation": {"strengths": [0.1], "attack": {"steps": 5}},
        }
    )
    return training.make_problem(config, load(dataset, config.born.embedding))


def one_epoch(recipe, problem, epoch=1, seed=7):
    players = recipe.start(ENGINE, problem, start_cores(problem.chain, problem.config.born, 0), 0)
    losses = []
    for _, batch in recipe.batches(problem, seed, epoch):
        step = recipe.step(ENGINE, problem, players, batch)
        players = step.players
        losses.append(float(step.losses["train/loss"]))
    return cores_of(players), losses


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ({"name": "trades", "beta": 0.0}, {}),
        ({"name": "trades", "beta": 6.0}, {"epsilon": 0.0}),
        ({"name": "pgd-at", "clean_weight": 1.0}, {}),
        ({"name": "pgd-at", "clean_weight": 0.0}, {"epsilon": 0.0}),
        ({"name": "pgd-at", "clean_weight": 0.3}, {"epsilon": 0.0}),
        ({"name": "pgd-at"}, {"curriculum": {"start": 0.0, "until": 2}}),
        ({"name": "pgd-at"}, {"epsilon": 0.0, "criterion": {"name": "brier"}}),
    ],
)
@pytest.mark.parametrize("dataset", ["moons_small", "iris"])
def test_without_attack_it_is_clean_training(dataset, method, fields):
    problem = problem_of(method, dataset, **fields)
    criterion = fields.get("criterion", {"name": "negative log-likelihood"})
    clean_config = problem.config.trainer.classification.model_copy(
        update={"criterion": problem.config.trainer.adversarial.criterion}
    )
    assert clean_config.criterion.name == criterion["name"]
    trainers = problem.config.trainer.model_copy(update={"classification": clean_config})
    clean = training.Problem(
        problem.config.model_copy(update={"trainer": trainers}), problem.chain, problem.splits, None, problem.device
    )
    cores, losses = one_epoch(Adversarial(), problem)
    expected, expected_losses = one_epoch(Classification("pre"), clean)
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    for core, other in zip(cores, expected, strict=True):
        torch.testing.assert_close(core, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", [PGD_AT, TRADES])
def test_an_attack_makes_another_training(method):
    attacked, losses = one_epoch(Adversarial(), problem_of(method))
    clean, clean_losses = one_epoch(Adversarial(), problem_of(method, epsilon=0.0))
    assert not torch.allclose(attacked.centre, clean.centre)
    assert losses[-1] > clean_losses[-1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("method", [PGD_AT, TRADES])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_epoch_changes_every_core_in_every_dtype(method, norm, dtype):
    problem = problem_of(
        method, "iris", {"dtype": dtype}, batch_size=25, attack={"steps": 2, "norm": norm, "restarts": 2}
    )
    before = start_cores(problem.chain, problem.config.born, 0)
    after, losses = one_epoch(Adversarial(), problem)
    assert all(loss == loss for loss in losses)
    for core, old in zip(after, before, strict=True):
        assert core.dtype == old.dtype
        assert core.isfinite().all()
        assert old.numel() == 0 or not torch.equal(core, old)


def test_the_strength_grows_linearly_to_its_epoch():
    config = problem_of(epsilon=0.2, curriculum={"start": 0.25, "until": 4}).config.trainer.adversarial
    strengths = [strength_at(config, epoch) for epoch in range(1, 7)]
    assert strengths == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2, 0.2])
    constant = problem_of(epsilon=0.2, curriculum={"start": 0.25, "until": 1}).config.trainer.adversarial
    assert strength_at(constant, 1) == 0.2


def test_batches_carry_the_radius_of_their_epoch_and_starts_in_its_ball():
    problem = problem_of(epsilon=0.2, curriculum={"start": 0.5, "until": 2}, attack={"restarts": 3})
    recipe = Adversarial()
    for epoch, radius in ((1, 0.2), (2, 0.4), (3, 0.4)):
        batches = list(recipe.batches(problem, 0, epoch))
        assert sum(weight for weight, _ in batches) == len(problem.splits["train"].y)
        for weight, (x, labels, starts, found) in batches:
            assert float(found) == pytest.approx(radius)
            assert starts.shape == (3, weight, 2)
            assert len(x) == len(labels) == weight
            assert 0.5 * radius < starts.norm(dim=-1).max() <= radius * (1 + 1e-12)


def test_batches_are_determined_by_their_seed():
    recipe, problem = Adversarial(), problem_of()

    def numbers(seed):
        return torch.cat([torch.cat((x, starts[0]), 1) for _, (x, _, starts, _) in recipe.batches(problem, seed, 1)])

    assert torch.equal(numbers(3), numbers(3))
    assert not torch.equal(numbers(3), numbers(4))


def test_trades_without_random_start_begins_near_the_rows_as_published():
    problem = problem_of(TRADES, attack={"random_start": False}, batch_size=200)
    ((_, (_, _, starts, _)),) = Adversarial().batches(problem, 0, 1)
    # 400 Gaussian numbers: their standard deviation is known to 3.5 %; 5 of those, false alarm 6e-7.
    assert float(starts.std()) == pytest.approx(2e-3, rel=0.18)
    ((_, (_, _, uniform, _)),) = Adversarial().batches(problem_of(TRADES, batch_size=200), 0, 1)
    assert uniform.abs().max() > 0.1
    ((_, (_, _, none, _)),) = Adversarial().batches(problem_of(attack={"random_start": False}, batch_size=200), 0, 1)
    assert not none.any()
    attacked, _ = one_epoch(Adversarial(), problem)
    clean, _ = one_epoch(Adversarial(), problem_of(TRADES, epsilon=0.0, batch_size=200))
    assert not torch.allclose(attacked.centre, clean.centre)


@pytest.mark.slow
@pytest.mark.parametrize("method", [{"name": "pgd-at"}, {"name": "trades", "beta": 3.0}])
def test_it_makes_the_machine_more_robust_than_clean_training(method):
    def trained(recipe, problem):
        players = recipe.start(ENGINE, problem, start_cores(problem.chain, problem.config.born, 0), 0)
        for epoch in range(1, 13):
            for _, batch in recipe.batches(problem, epoch, epoch):
                players = recipe.step(ENGINE, problem, players, batch).players
        split = problem.splits["valid"]
        return measure(["rob_strong"], problem.chain, cores_of(players), split, problem.config.evaluation, seed=0)

    problem = problem_of(method, epsilon=0.1, attack={"steps": 5})
    robust, plain = trained(Adversarial(), problem), trained(Classification("pre"), problem)
    assert robust["rob_strong"] > plain["rob_strong"] + 0.03


@pytest.mark.parametrize("pretrain", [False, True])
def test_the_loop_runs_it_and_keeps_the_most_robust_epoch(pretrain):
    problem = problem_of(pretrain=pretrain, max_epoch=3)
    state, reports = training.start(problem), []
    while not state.status.ended:
        state, report = training.advance(problem, state)
        reports.append(report)
    assert [report.phase for report in reports] == ["pre"] * (2 if pretrain else 0) + ["adv"] * 3
    robust = [report.metrics["rob"] for report in reports if report.phase == "adv"]
    assert training.main_best(problem, state).metrics["rob"] == max(robust)
