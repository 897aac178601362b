"""Search spaces as YAML files: those that come with bmtune, a user's own, and the `search.yaml` of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Literal

from pydantic import Field
from pydantic import ValidationError

from bmtune.config.base import Config
from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import Dimension
from bmtune.config.dimensions import FloatDimension
from bmtune.config.dimensions import IntDimension
from bmtune.config.mistakes import clean
from bmtune.config.mistakes import did_you_mean
from bmtune.config.paths import validate
from bmtune.config.root import RECIPES
from bmtune.config.root import RecipeName
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import FORMAT
from bmtune.config.space_model import READABLE
from bmtune.config.space_model import VERSION
from bmtune.config.space_model import Budget
from bmtune.config.space_model import ObjectiveConfig
from bmtune.config.space_model import RunSettings
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import main_settings
from bmtune.config.space_rules import checked
from bmtune.config.yaml_text import read_mapping
from bmtune.errors import ConfigError

_KINDS: Mapping[str, type[FloatDimension] | type[IntDimension] | type[CategoricalDimension]] = {
    "float": FloatDimension,
    "int": IntDimension,
    "categorical": CategoricalDimension,
}


class _SpaceFile(Config):
    """The top level of the file; `base` and `parameters` are validated on their own."""

    format: Literal["bmtune.search"] = "bmtune.search"
    version: Literal[1, 2] = 2
    trainer: RecipeName
    objective: ObjectiveConfig
    budget: Budget = Budget()
    base: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any]
    run: RunSettings = RunSettings()


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
    base = main_settings(_base(file, source), file.trainer, file.objective, file.budget.max_epochs)
    if not file.parameters:
        raise ConfigError(f"a search must have parameters, but got none ({source}: parameters); add one")
    parameters = tuple((key, _dimension(key, entry, source)) for key, entry in file.parameters.items())
    space = SearchSpace(file.trainer, file.objective, file.budget, base, parameters, file.run, source)
    return checked(space)


def _check_version(raw: dict[str, Any], source: str) -> None:
    if raw.get("format", FORMAT) != FORMAT or raw.get("version", VERSION) not in READABLE:
        raise ConfigError(
            f"a search space must have the format {FORMAT} version {' or '.join(map(str, READABLE))}, but got "
            f"{raw.get('format')} "
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


__all__ = ["SearchSpace", "default_space_path", "load_space"]
