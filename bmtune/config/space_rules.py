"""The rules of a search space that concern more than one of its entries, and spaces with values fixed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import Dimension
from bmtune.config.paths import get
from bmtune.config.paths import resolve
from bmtune.config.paths import with_values
from bmtune.config.space_model import MAIN_PHASE
from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import is_active
from bmtune.config.space_model import plain
from bmtune.errors import ConfigError


def checked(space: SearchSpace) -> SearchSpace:
    """The space with its parameters in order, after every check that needs more than one dimension.

    Raises:
        ConfigError: A path is unknown or set by the search, a condition cannot hold, the base lies outside a range,
            or a configuration refuses a value of a range.
    """
    for path, _ in space.parameters:
        resolve(path, space.source, f"parameters.{path}")
        _refuse_reserved(path, space)
    ordered = _parents_first(space)
    space = replace(space, parameters=ordered)
    for path, dimension in ordered:
        _check_union(path, dimension, space)
    _check_base(space)
    for path, dimension in ordered:
        _check_probes(path, dimension, space)
    return space


def _refuse_reserved(path: str, space: SearchSpace) -> None:
    main = MAIN_PHASE[space.trainer]
    instead = {
        "name": "give --name",
        "recipe": "give the trainer's name",
        "seed": "give --seed",
        f"{main}.max_epoch": "set budget.max_epochs",
        f"{main}.stop_crit": "set objective.metric",
        f"{main}.metrics": "set it in base",
    }
    if path.startswith("best_epoch"):
        instead[path] = "set objective.metric and objective.constraints"
    if path.startswith("data."):
        instead[path] = "values on different data cannot be compared; set it in base"
    if path in instead:
        raise ConfigError(
            f"a searched path must be the trial's own, but {path!r} is set by the search "
            f"({space.source}: parameters.{path}); {instead[path]}"
        )


def _parents_first(space: SearchSpace) -> tuple[tuple[str, Dimension], ...]:
    dimensions = dict(space.parameters)
    for path, dimension in space.parameters:
        for parent, wanted in dimension.when:
            _check_condition(path, parent, wanted, dimensions, space.source)
    ordered: dict[str, Dimension] = {}
    waiting = dict(dimensions)
    while waiting:
        ready = [path for path, dimension in waiting.items() if all(name in ordered for name, _ in dimension.when)]
        if not ready:
            raise ConfigError(
                f"conditions must not form a circle, but {', '.join(waiting)} wait for each other "
                f"({space.source}: parameters.{next(iter(waiting))}.when); leave one when away"
            )
        for path in ready:
            ordered[path] = waiting.pop(path)
    return tuple(ordered.items())


def _check_condition(
    path: str, parent: str, wanted: tuple[JsonValue, ...], dimensions: Mapping[str, Dimension], source: str
) -> None:
    where = f"({source}: parameters.{path}.when)"
    if parent not in dimensions:
        resolve(parent, source, f"parameters.{path}.when")
        raise ConfigError(
            f"when must name a searched path, but {parent!r} is not searched {where}; "
            f"search it too, or leave the condition away"
        )
    for value in wanted:
        if not dimensions[parent].contains(value):
            raise ConfigError(
                f"when must name a value that {parent} can take ({dimensions[parent].describe()}), "
                f"but got {value!r} {where}; choose one of those"
            )


def _check_union(path: str, dimension: Dimension, space: SearchSpace) -> None:
    """A key of one member of a union must not be searched where another member may be chosen."""
    searched = dict(space.parameters)
    conditions = dict(dimension.when)
    for tag, names in resolve(path, space.source).required:
        possible: tuple[JsonValue, ...] = (get(space.base, tag),)
        if tag in searched:
            everything = searched[tag]
            all_choices = everything.choices if isinstance(everything, CategoricalDimension) else ()
            possible = conditions.get(tag, all_choices)
        if any(value not in names for value in possible):
            fix = f"add when: {{{tag}: {names[0]}}}" if tag in searched else f"set {tag}: {names[0]} in base"
            raise ConfigError(
                f"{path} exists only where {tag} is {' or '.join(names)}, but it can be "
                f"{', '.join(str(value) for value in possible)} ({space.source}: parameters.{path}); {fix}"
            )


def _check_base(space: SearchSpace) -> None:
    found: Params = {}
    for path, dimension in space.parameters:
        if not is_active(dimension, found):
            continue
        value = plain(get(space.base, path))
        if not dimension.contains(value):
            raise ConfigError(
                f"the base value must lie in the searched range, but {path} is {value} in base and searched in "
                f"{dimension.describe()} ({space.source}: parameters.{path}); widen the range, or change base.{path}"
            )
        found[path] = value


def _check_probes(path: str, dimension: Dimension, space: SearchSpace) -> None:
    searched = dict(space.parameters)
    for value in dimension.probes():
        params = {**_needed(dimension, searched), path: value}
        try:
            with_values(space.base, params, space.source)
        except ConfigError as error:
            raise ConfigError(
                f"every searched value must be one that the configuration accepts, but {path}={value!r} is not: "
                f"{str(error).split(' (')[0]} ({space.source}: parameters.{path}); change the range"
            ) from error


def _needed(dimension: Dimension, searched: Mapping[str, Dimension]) -> Params:
    """Values with which a dimension exists."""
    needed: Params = {}
    for parent, wanted in dimension.when:
        needed.update(_needed(searched[parent], searched))
        needed[parent] = wanted[0]
    return needed


def pinned(space: SearchSpace, values: Mapping[str, Any], source: str) -> SearchSpace:
    """The space with some hyperparameters fixed; one that was searched no longer is.

    Raises:
        ConfigError: A path is unknown or set by the search, a value is refused, or nothing is left to search.
    """
    for path in values:
        resolve(path, source)
        if not path.startswith("data."):
            _refuse_reserved(path, replace(space, source=source))
    base = with_values(space.base, values, source)
    fixed = {path: plain(get(base, path)) for path in values}
    left: list[tuple[str, Dimension]] = []
    for path, dimension in space.parameters:
        conditions = [(parent, wanted) for parent, wanted in dimension.when if parent in fixed]
        impossible = any(fixed[parent] not in wanted for parent, wanted in conditions)
        if path not in fixed and not impossible:
            still = tuple(condition for condition in dimension.when if condition not in conditions)
            left.append((path, dimension.model_copy(update={"when": still})))
    if not left:
        raise ConfigError(f"a search must have parameters, but {', '.join(values)} leave none ({source}); set fewer")
    return checked(replace(space, base=base, parameters=tuple(left)))
