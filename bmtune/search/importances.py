"""Which hyperparameters decide whether a trial is among the best: PED-ANOVA, as Optuna has it."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from jaxtyping import Int64
from optuna.importance import PedAnovaImportanceEvaluator

from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.search.proposals import distributions
from bmtune.search.proposals import to_label

FEWEST_TRIALS = 10
"""With fewer trials nothing is computed."""
TARGET, FEWEST_TOP = 0.1, 5
"""What trials want to be among: the best tenth, and at least so many, which Optuna asks of its evaluator's users."""
SHUFFLES = 20
CHANCE = 0.9
"""Quantile of the importances that values dealt out at random give."""


@dataclass(frozen=True)
class Importance:
    """How much one hyperparameter decides.

    Attributes:
        path: The hyperparameter.
        share: Its part of all importances, 0 to 1.
        chance: What it would reach by chance: nine times in ten it is less, when values are dealt out at random.
    """

    path: str
    share: float
    chance: float


@dataclass(frozen=True)
class Importances:
    """What `importances` found.

    Attributes:
        found: By hyperparameter, the most important first; empty where too few trials were measured.
        trials: Trials that were compared.
        top: How many of them count as the best.
    """

    found: tuple[Importance, ...]
    trials: int
    top: int


def importances(space: SearchSpace, trials: Sequence[tuple[Params, float]], seed: int = 0) -> Importances:
    """The importance of each searched hyperparameter for being among the best trials.

    Args:
        space: The search space.
        trials: Searched values and objective of each trial, all at the same epoch; infinitely bad values are allowed.
        seed: Of the random order that tells what chance would give.

    References:
        Watanabe, Bansal, Hutter 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
        Subspaces", IJCAI (arXiv 2304.10255).
    """
    top = max(math.ceil(TARGET * len(trials)), FEWEST_TOP)
    if len(trials) < FEWEST_TRIALS:
        return Importances((), len(trials), top)
    places = _places(space, [value for _, value in trials])
    study = _study(space, [params for params, _ in trials])
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top / len(trials))
    found = _evaluate(evaluator, study, places)
    total = sum(found.values())
    if total == 0:
        return Importances((), len(trials), top)
    random = np.random.default_rng(seed)
    dealt = [_evaluate(evaluator, study, random.permutation(places)) for _ in range(SHUFFLES)]
    entries = [
        Importance(path, share / total, float(np.quantile([one[path] for one in dealt], CHANCE)) / total)
        for path, share in found.items()
    ]
    return Importances(tuple(sorted(entries, key=lambda entry: -entry.share)), len(trials), top)


def _places(space: SearchSpace, values: Sequence[float]) -> Int64[np.ndarray, " trials"]:
    """The place of each value, 0 the best; PED-ANOVA needs no more, and Optuna drops values that are not finite."""
    signed = np.asarray(values) * (-1 if space.objective.direction == "max" else 1)
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(signed, kind="stable")] = np.arange(len(values))
    return places


def _study(space: SearchSpace, proposed: Sequence[Params]) -> optuna.Study:
    """A study of complete trials without values of their own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        optuna.create_trial(
            params={path: to_label(value) for path, value in params.items()},
            distributions=distributions(space, params),
            value=0.0,
        )
        for params in proposed
    )
    return study


def _evaluate(
    evaluator: PedAnovaImportanceEvaluator, study: optuna.Study, places: Int64[np.ndarray, " trials"]
) -> dict[str, float]:
    """The importances for a low place."""
    with warnings.catch_warnings():
        # Optuna reminds of what low values mean, and of parameters that few trials have; the page tells both.
        warnings.simplefilter("ignore", UserWarning)
        return evaluator.evaluate(study, target=lambda trial: float(places[trial.number]))
