import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator

from bmtune.config.space import SearchSpace
from bmtune.search.importances import FEWEST_TRIALS
from bmtune.search.importances import importances
from bmtune.search.proposals import distributions

LR, DIM = "trainer.classification.optimizer.lr", "born.bond_dim"
CONDITIONAL = """
trainer: classification
objective: {metric: acc}
budget: {trials: 8, max_epochs: 9, eta: 3, grace: 1}
base: {name: plain, data: {dataset: moons_small}}
parameters:
  trainer.classification.optimizer.name: {type: categorical, choices: [adam, sgd]}
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
  born.bond_dim: {type: int, low: 2, high: 12, when: {trainer.classification.optimizer.name: adam}}
"""


def drawn(count: int, seed: int = 0) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    return [{LR: 10 ** random.uniform(-4, -1), DIM: int(random.integers(2, 13))} for _ in range(count)]


def loss(params: dict[str, Any]) -> float:
    """The rate decides; the bond dimension hardly does."""
    return abs(math.log10(params[LR]) + 2) + 1e-3 * params[DIM]


def test_what_decides_comes_first_and_above_what_chance_gives(make_space: Callable[..., SearchSpace]):
    found = importances(make_space(), [(params, loss(params)) for params in drawn(100)])
    assert (found.trials, found.top) == (100, 10)
    assert [entry.path for entry in found.found] == [LR, DIM]
    assert sum(entry.share for entry in found.found) == pytest.approx(1)
    rate, dimension = found.found
    assert rate.share > 0.8
    assert rate.share > rate.chance
    assert dimension.share < dimension.chance


def test_they_are_those_that_optuna_computes_from_complete_trials(make_space: Callable[..., SearchSpace]):
    space, proposed = make_space(), drawn(80)
    study = optuna.create_study(direction="minimize")
    for params in proposed:
        study.add_trial(
            optuna.create_trial(params=params, distributions=distributions(space, params), value=loss(params))
        )
    expected = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    found = importances(space, [(params, loss(params)) for params in proposed])
    assert {entry.path: entry.share for entry in found.found} == pytest.approx(expected)


def test_a_metric_to_be_high_is_judged_by_its_high_values(make_space: Callable[..., SearchSpace]):
    space = make_space(("metric: loss", "metric: acc"))
    found = importances(space, [(params, 1 - loss(params)) for params in drawn(80)])
    low = importances(make_space(), [(params, loss(params)) for params in drawn(80)])
    assert [entry.share for entry in found.found] == pytest.approx([entry.share for entry in low.found])


def test_trials_that_diverged_count_as_the_worst_and_not_as_nothing(make_space: Callable[..., SearchSpace]):
    trials = [(params, math.inf if params[DIM] > 5 else loss(params)) for params in drawn(100)]
    finite = [(params, value) for params, value in trials if math.isfinite(value)]
    share = {entry.path: entry.share for entry in importances(make_space(), trials).found}
    without = {entry.path: entry.share for entry in importances(make_space(), finite).found}
    assert share[DIM] > without[DIM] + 0.2


def test_a_parameter_that_only_some_trials_have_has_an_importance(make_space: Callable[..., SearchSpace]):
    random = np.random.default_rng(1)
    name = "trainer.classification.optimizer.name"
    trials = []
    for params in drawn(60):
        kind = "adam" if random.uniform() < 0.5 else "sgd"
        params[name] = kind
        if kind == "sgd":
            del params[DIM]
        trials.append((params, float(random.uniform())))
    found = importances(make_space(text=CONDITIONAL), trials)
    assert {entry.path for entry in found.found} == {LR, DIM, name}


@pytest.mark.parametrize("count", [0, 1, FEWEST_TRIALS - 1])
def test_of_too_few_trials_nothing_is_computed(make_space: Callable[..., SearchSpace], count: int):
    found = importances(make_space(), [(params, loss(params)) for params in drawn(count)])
    assert (found.found, found.trials) == ((), count)


def test_alike_trials_tell_nothing_apart(make_space: Callable[..., SearchSpace]):
    params = drawn(1)[0]
    found = importances(make_space(), [(params, float(value)) for value in range(20)])
    assert all(0 <= entry.share <= 1 for entry in found.found)
