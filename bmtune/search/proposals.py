"""Proposals: configurations that Optuna suggests from the trials of a study."""

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler

from bmtune.config.dimensions import Dimension
from bmtune.config.dimensions import FloatDimension
from bmtune.config.dimensions import IntDimension
from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import is_active

_SCALARS = (str, int, float, bool, type(None))


def derived_seed(run_seed: int, trial: int) -> int:
    """A seed of its own for each trial of each run, 0 to 2^31 - 1.

    A sampler that were seeded with the run's seed alone would repeat its first draws after a restart.
    """
    return int(np.random.SeedSequence([run_seed, trial]).generate_state(1)[0] >> 1)


def to_distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it."""
    if isinstance(dimension, FloatDimension):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    if isinstance(dimension, IntDimension):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return CategoricalDistribution([to_label(choice) for choice in dimension.choices])


def to_label(value: Any) -> Any:
    """A searched value as Optuna stores it: itself where it is a scalar, else its JSON text."""
    return value if isinstance(value, _SCALARS) else json.dumps(value)


def _from_label(dimension: Dimension, label: Any) -> Any:
    if isinstance(dimension, FloatDimension | IntDimension):
        return label
    # True equals 1: the type tells them apart.
    return next(
        choice for choice in dimension.choices if to_label(choice) == label and type(to_label(choice)) is type(label)
    )


def make_sampler(space: SearchSpace, seed: int) -> BaseSampler:
    """A fresh sampler for one proposal: everything that it knows is in the study.

    Args:
        space: The search space; its `run.sampler` names the method.
        seed: Seed of this one proposal.
    """
    if space.run.sampler == "random":
        return RandomSampler(seed=seed)
    conditional = any(dimension.when for _, dimension in space.parameters)
    with warnings.catch_warnings():
        # Groups let parameters that exist only together be proposed together; Optuna calls the option experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(
            seed=seed,
            multivariate=True,
            group=conditional,
            # Running trials count as bad ones, so that trials side by side do not get the same proposal.
            constant_liar=True,
            n_startup_trials=min(10, max(3, space.budget.trials // 3)),
        )


def propose(study: optuna.Study, space: SearchSpace, run_seed: int, number: int | None = None) -> Params:
    """Opens the study's next trial and returns its parameters; the first is the base configuration.

    The proposal is a function of the study's trials, the space and the seed alone, so that a search that is rebuilt
    from its records goes on as it would have gone on.

    Args:
        study: The trials so far; one more is RUNNING afterwards, except before the first, which needs no opening.
        space: What may be proposed.
        run_seed: Seed of the run.
        number: Trials of this run so far; None: all that the study holds are its own.
    """
    if number is None:
        number = len(study.get_trials(deepcopy=False))
    if number == 0:
        return space.base_params()
    study.sampler = make_sampler(space, derived_seed(run_seed, number))
    trial = study.ask()
    params: Params = {}
    for path, dimension in space.parameters:
        if is_active(dimension, params):
            params[path] = _from_label(dimension, _suggest(trial, path, dimension))
    return params


def _suggest(trial: optuna.Trial, path: str, dimension: Dimension) -> Any:
    if isinstance(dimension, FloatDimension):
        return trial.suggest_float(path, dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    if isinstance(dimension, IntDimension):
        return trial.suggest_int(path, dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    return trial.suggest_categorical(path, [to_label(choice) for choice in dimension.choices])


def distributions(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """The distributions of the parameters that a trial has.

    Raises:
        ValueError: The space has no such parameter.
    """
    dimensions = dict(space.parameters)
    if unknown := params.keys() - dimensions.keys():
        raise ValueError(f"a trial must have parameters of the space, but it has {', '.join(sorted(unknown))}")
    return {path: to_distribution(dimensions[path]) for path in params}
