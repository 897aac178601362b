"""Search spaces: a base configuration, the searched hyperparameters, the objective and the budget, read from YAML."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import Literal

from pydantic import Field
from pydantic import JsonValue
from pydantic import ValidationError
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import Dimension
from bmtune.config.dimensions import FloatDimension
from bmtune.config.dimensions import IntDimension
from bmtune.config.metrics import METRICS
from bmtune.config.metrics import Metric
from bmtune.config.metrics import MetricName
from bmtune.config.mistakes import clean
from bmtune.config.mistakes import did_you_mean
from bmtune.config.paths import get
from bmtune.config.paths import resolve
from bmtune.config.paths import validate
from bmtune.config.paths import with_values
from bmtune.config.root import RECIPES
from bmtune.config.root import RecipeName
from bmtune.config.root import TrialConfig
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import ConfigError

FORMAT = "bmtune.search"
VERSION = 1

MAIN_PHASE = {"classification": "trainer.classification", "gan": "trainer.ganstyle"}
"""Where the settings lie of the phase that a recipe is about."""

Params = dict[str, JsonValue]
"""Proposed values by dotted path."""

_KINDS: Mapping[str, type[FloatDimension] | type[IntDimension] | type[CategoricalDimension]] = {
    "float": FloatDimension,
    "int": IntDimension,
    "categorical": CategoricalDimension,
}


class ObjectiveConfig(Config):
    """What the search makes as good as it can; the direction belongs to the metric."""

    metric: MetricName


class Budget(Config):
    """How much a search may train."""

    trials: int = Field(24, ge=1)
    """Trials in all."""
    max_epochs: int = Field(20, ge=1)
    """Epochs of the main phase in one trial's whole budget."""
    eta: int = Field(3, ge=2)
    """Of so many trials at a rung one goes on, and a rung lies at so many times the epochs of the one before."""
    grace: int = Field(2, ge=1)
    """Epochs of the first rung: no trial is stopped earlier."""

    @model_validator(mode="after")
    def _grace_is_within(self) -> "Budget":
        if self.grace > self.max_epochs:
            raise ValueError(
                f"grace <= max_epochs must hold, but got grace={self.grace}, max_epochs={self.max_epochs}; lower grace"
            )
        return self


class RunSettings(Config):
    """How a search runs, as far as its results or its speed depend on it."""

    seed: int = Field(0, ge=0)
    """Seed of the proposals; trials derive theirs from it."""
    scheduler: Literal["asha", "none"] = "asha"
    """Whether halving stops weak trials."""
    sampler: Literal["tpe", "random"] = "tpe"
    """What proposes configurations."""
    time_budget_s: float | None = Field(None, gt=0)
    """Seconds after which the search ends; None: no limit."""
    cpus_per_trial: int = Field(1, ge=1)
    """Processors, and threads, of one trial."""
    gpus_per_trial: float = Field(0.0, ge=0)
    """GPUs of one trial: whole, or 1/k."""
    max_concurrent: int | None = Field(None, ge=1)
    """Trials at once; None: as many as there is room for."""
    report_every_s: float = Field(1.0, ge=0)
    """Seconds between two messages of one trial; 0: a message after every epoch."""


class _SpaceFile(Config):
    """The top level of the file; `base` and `parameters` are validated on their own."""

    format: Literal["bmtune.search"] = "bmtune.search"
    version: Literal[1] = 1
    trainer: RecipeName
    objective: ObjectiveConfig
    budget: Budget = Budget()
    base: dict[str, Any] = {}
    parameters: dict[str, Any]
    run: RunSettings = RunSettings()


@dataclass(frozen=True)
class SearchSpace:
    """A search space in which every path, range and value was checked.

    Attributes:
        trainer: The recipe.
        objective: The metric.
        budget: Trials and epochs.
        base: The configuration of trial 0, and of everything that is not searched.
        parameters: Searched dimensions by path; one that others depend on comes before them.
        run: Settings of the run.
        source: The file, for messages.
    """

    trainer: str
    objective: Metric
    budget: Budget
    base: TrialConfig
    parameters: tuple[tuple[str, Dimension], ...]
    run: RunSettings
    source: str

    def base_params(self) -> Params:
        """The searched values that the base configuration has."""
        found: Params = {}
        for path, dimension in self.parameters:
            if is_active(dimension, found):
                found[path] = plain(get(self.base, path))
        return found

    def configure(self, params: Mapping[str, Any]) -> TrialConfig:
        """The configuration of a trial with these searched values."""
        return with_values(self.base, params, self.source)

    def to_mapping(self) -> dict[str, JsonValue]:
        """The file that `load_space` reads back as an equal space."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "trainer": self.trainer,
            "objective": {"metric": self.objective.name},
            "budget": self.budget.model_dump(mode="json"),
            "run": self.run.model_dump(mode="json"),
            "base": self.base.model_dump(mode="json"),
            "parameters": {
                path: dimension.model_dump(mode="json", exclude_defaults=True)
                for path, dimension in self.parameters
            },
        }


def plain(value: Any) -> JsonValue:
    """A value of a configuration as JSON has it."""
    return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def is_active(dimension: Dimension, params: Mapping[str, Any]) -> bool:
    """Whether a dimension exists beside these values."""
    return all(path in params and params[path] in wanted for path, wanted in dimension.when)


def default_space_path(trainer: str) -> Path:
    """The search space that comes with bmtune, in an installed package or in a checkout.

    Raises:
        ConfigError: The trainer is unknown, or the installation lacks the file.
    """
    if trainer not in RECIPES:
        raise ConfigError(
            f"a trainer must be one of {', '.join(RECIPES)}, but got {trainer!r} (command line: TRAINER); "
            f"{did_you_mean(trainer, RECIPES)}"
        )
    package = Path(__file__).resolve().parents[1]
    candidates = [folder / "search_spaces" / f"{trainer}.yaml" for folder in (package, package.parent)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigError(
        f"the search space of {trainer} must come with bmtune, but {candidates[0]} is missing; "
        "install bmtune again, or give one with --space"
    )


def load_space(path: Path) -> SearchSpace:
    """Reads a search space, or the `search.yaml` of a run.

    Raises:
        ConfigError: One sentence about the first mistake, with file and key.
    """
    source = str(path)
    raw = read_mapping(path)
    _check_version(raw, source)
    try:
        file = _SpaceFile.model_validate(raw)
    except ValidationError as error:
        raise clean(error, _SpaceFile, source) from error
    metric = METRICS[file.objective.metric]
    base = main_settings(_base(file, source), file.trainer, metric, file.budget.max_epochs)
    if not file.parameters:
        raise ConfigError(f"a search must have parameters, but got none ({source}: parameters); add one")
    parameters = tuple((key, _dimension(key, entry, source)) for key, entry in file.parameters.items())
    space = SearchSpace(file.trainer, metric, file.budget, base, parameters, file.run, source)
    return checked(space)


def _check_version(raw: dict[str, Any], source: str) -> None:
    if (raw.get("format", FORMAT), raw.get("version", VERSION)) != (FORMAT, VERSION):
        raise ConfigError(
            f"a search space must have the format {FORMAT} version {VERSION}, but got {raw.get('format')} "
            f"version {raw.get('version')} ({source}: format); give the file of a search"
        )


def _base(file: _SpaceFile, source: str) -> TrialConfig:
    recipe = file.base.get("recipe", file.trainer)
    if recipe != file.trainer:
        raise ConfigError(
            f"base.recipe must be the trainer of the space, but got {recipe!r} beside trainer {file.trainer!r} "
            f"({source}: base.recipe); leave it away"
        )
    return validate({**file.base, "recipe": file.trainer}, source, "base")


def main_settings(base: TrialConfig, trainer: str, metric: Metric, max_epochs: int) -> TrialConfig:
    """`base` with the main phase measuring and watching the objective, over the whole budget."""
    main = MAIN_PHASE[trainer]
    metrics = {**dict(base.main_metrics), metric.name: 1}
    return with_values(
        base, {f"{main}.max_epoch": max_epochs, f"{main}.metrics": metrics, f"{main}.stop_crit": metric.name}
    )


def _dimension(path: str, raw: Any, source: str) -> Dimension:
    key = f"parameters.{path}"
    if not isinstance(raw, dict):
        raise ConfigError(f"a parameter must hold type and range, but got {raw!r} ({source}: {key}); write type: float")
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(
            f"type must be one of {', '.join(_KINDS)}, but got {kind!r} ({source}: {key}.type); "
            f"{did_you_mean(str(kind), _KINDS)}"
        )
    try:
        return _KINDS[kind].model_validate(raw)
    except ValidationError as error:
        raise clean(error, _KINDS[kind], source, key) from error


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
