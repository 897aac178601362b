import math
import sys
from functools import lru_cache

import pytest
import torch

from bmtune import training
from bmtune.born import Cores
from bmtune.born import get_embedding
from bmtune.born import log_weights
from bmtune.config.root import EvaluationConfig
from bmtune.config.root import TrialConfig
from bmtune.data import DataHandler
from bmtune.data import Split
from bmtune.evaluation import measure
from bmtune.evaluation import robustness_metrics

MODULE = sys.modules[robustness_metrics.__module__]
STRENGTHS = (0.05, 0.1, 0.2)


@lru_cache
def trained(dataset="moons_small", embedding="legendre"):
    born = {"embedding": embedding, "physical_dim": 6, "bond_dim": 4, "dtype": "float64"}
    pre = {"max_epoch": 6, "batch_size": 25, "optimizer": {"lr": 3e-2}}
    config = TrialConfig.model_validate(
        {"recipe": "classification", "data": {"dataset": dataset}, "born": born, "trainer": {"classification": pre}}
    )
    problem = training.make_problem(config, DataHandler(config.data, get_embedding(embedding).data_interval))
    state = training.start(problem)
    while not state.status.ended:
        state, _ = training.advance(problem, state)
    return problem.chain, Cores(*(core.detach() for core in state.cores)), problem.splits["valid"]


def found(names, model=("moons_small", "legendre"), seed=0, strengths=STRENGTHS, **attack):
    config = EvaluationConfig(strengths=strengths, attack={"steps": 8, **attack})
    return measure(names, *trained(*model), config, seed=seed)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_at_strength_zero_robustness_is_the_accuracy(norm):
    values = found(["acc", "rob/0", "rob_strong/0.0"], norm=norm)
    assert values["rob/0"] == values["rob_strong/0.0"] == values["acc"]
    assert values["acc"] > 0.9
    assert found(["rob"], strengths=(0.0,)) == {"rob": values["acc"]}


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("model", [("moons_small", "legendre"), ("circles_small", "fourier"), ("iris", "hermite")])
def test_robustness_never_rises_with_the_strength(model, norm):
    strengths = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 1)
    names = [f"rob/{eps}" for eps in (0, *strengths)]
    values = list(found(names, model, norm=norm, strengths=strengths).values())
    assert values == sorted(values, reverse=True)
    # One between two strengths of the configuration includes what falls to the smaller one.
    assert found(["rob/0.25"], model, norm=norm, strengths=strengths)["rob/0.25"] <= values[5]
    assert values[0] > 0.8
    assert values[-1] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("model", [("moons_small", "legendre"), ("iris", "legendre")])
def test_fgm_is_no_stronger_than_pgd_and_pgd_no_stronger_than_the_strong_check(monkeypatch, model, norm):
    monkeypatch.setattr(MODULE, "STRONG_STEPS", 20)
    for name in ("rob", "rob/0.1"):
        single = found([name], model, name="fgm", norm=norm)[name]
        iterated = found([name], model, name="pgd", norm=norm)[name]
        strong_name = name.replace("rob", "rob_strong")
        strong = found([strong_name], model, name="pgd", norm=norm)[strong_name]
        assert strong <= iterated <= single


def test_rob_is_the_mean_over_the_strengths():
    names = [f"rob/{eps}" for eps in STRENGTHS]
    values = found(["rob", *names])
    assert values["rob"] == pytest.approx(sum(values[name] for name in names) / 3)


def test_a_value_does_not_depend_on_what_else_is_measured(monkeypatch):
    monkeypatch.setattr(MODULE, "STRONG_STEPS", 5)
    names = ["rob_strong", "rob/0.07", "rob", "rob_strong/0.1", "rob/0.2", "acc"]
    together = found(names)
    assert list(together) == names
    for name in names:
        assert found([name]) == {name: together[name]}


def test_the_seed_determines_where_attacks_start():
    # So short a step from the start hardly moves: the start decides.
    fields = {"strengths": (0.2,), "steps": 1, "relative_step": 0.01}
    values = [found(["rob"], seed=seed, **fields)["rob"] for seed in range(6)]
    assert found(["rob"], seed=3, **fields)["rob"] == values[3]
    assert len(set(values)) > 1


def test_chunks_do_not_change_the_value(monkeypatch):
    monkeypatch.setattr(MODULE, "STRONG_STEPS", 5)
    whole = found(["rob", "rob_strong/0.1"])
    monkeypatch.setattr(MODULE, "MAX_ELEMENTS", 23 * 2 * 6 * 5)
    assert found(["rob", "rob_strong/0.1"]) == whole


def test_a_row_that_is_misclassified_clean_is_not_robust():
    chain, cores, split = trained()
    wrong = Split(split.x, 1 - split.y)
    config = EvaluationConfig(strengths=(0.05,), attack={"steps": 3})
    clean = measure(["acc"], chain, cores, wrong, config, seed=0)["acc"]
    assert clean < 0.1
    assert measure(["rob"], chain, cores, wrong, config, seed=0)["rob"] <= clean


def test_more_restarts_find_no_fewer_rows():
    few = found(["rob/0.2"], restarts=1, strengths=(0.2,), steps=3)["rob/0.2"]
    many = found(["rob/0.2"], restarts=6, strengths=(0.2,), steps=3)["rob/0.2"]
    assert many <= few


def test_robustness_of_cores_that_are_not_finite_is_not_finite():
    chain, cores, split = trained()
    broken = Cores(*(torch.full_like(core, torch.nan) for core in cores))
    values = measure(["rob", "rob_strong"], chain, broken, split, EvaluationConfig(), seed=0)
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.08), ("linf", 0.06)])
def test_the_strong_check_finds_what_a_search_of_the_whole_ball_finds(norm, eps):
    # Every ball is searched on a polar or square lattice: a row falls if a point of it does.
    chain, cores, split = trained()
    low, high = chain.embedding.data_interval
    radius, side = eps * (high - low), torch.linspace(-1, 1, 61, dtype=torch.float64)
    lattice = torch.cartesian_prod(side, side)
    if norm == "l2":
        turns = torch.linspace(0, 2 * math.pi, 181, dtype=torch.float64)
        rings = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None, None]
        lattice = (rings * torch.stack((turns.cos(), turns.sin()), 1)).flatten(0, 1)
    points = (split.x[:, None] + radius * lattice).clamp(low, high)
    right = (
        log_weights(cores, chain.features(points.flatten(0, 1))).argmax(0).view(points.shape[:2]) == split.y[:, None]
    )
    searched = right.all(1).double().mean().item()
    config = EvaluationConfig(strengths=(eps,), attack={"norm": norm})
    attacked = measure(["rob_strong"], chain, cores, split, config, seed=0)["rob_strong"]
    assert attacked == pytest.approx(searched, abs=0.0101)
    assert searched < 0.95
