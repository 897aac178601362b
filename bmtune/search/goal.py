"""What a search is for, as it was asked for, and what can only be done for one number."""

from typing import Any
from typing import TypeVar

from pydantic import BaseModel
from pydantic import ValidationError

from bmtune.config.metrics import METRICS
from bmtune.config.metrics import known_metric
from bmtune.config.mistakes import clean
from bmtune.config.mistakes import did_you_mean
from bmtune.config.paths import COMMAND_LINE
from bmtune.config.space_model import ObjectiveConfig
from bmtune.config.space_model import SearchSpace
from bmtune.errors import ConfigError
from bmtune.search.request import SearchRequest

Model = TypeVar("Model", bound=BaseModel)


def asked_goal(space: SearchSpace, request: SearchRequest) -> ObjectiveConfig:
    """The objectives and constraints of the space, as far as the request has no others.

    Raises:
        ConfigError: A name is no metric or comes twice, or a constraint is none.
    """
    for name in request.metrics:
        try:
            known_metric(name)
        except ValueError as error:
            raise ConfigError(f"{error} ({COMMAND_LINE}: --metric); {did_you_mean(name, METRICS)}") from error
    metrics, constraints = request.metrics or space.goal.metric, request.constraints or space.goal.constraints
    return validated(ObjectiveConfig, {"metric": metrics, "constraints": constraints})


def check_confirmation(space: SearchSpace) -> None:
    """Refuses to confirm at its end a search that is not for one number alone.

    Raises:
        ConfigError: It was asked for.
    """
    if not space.aims.is_plain and space.run.confirm not in ("auto", "none"):
        raise ConfigError(
            "a confirmation compares one number, so it needs one objective and no constraint, but the search has "
            f"{_told(space)} and --confirm {space.run.confirm} ({COMMAND_LINE}: --confirm); give --confirm none"
        )


def check_confirmable(space: SearchSpace) -> None:
    """Refuses to confirm a run that was not for one number alone.

    Raises:
        ConfigError: It had several objectives, or constraints.
    """
    if not space.aims.is_plain:
        raise ConfigError(
            "a confirmation compares one number on fresh seeds, so the search must have one objective and no "
            f"constraint, but it has {_told(space)} ({space.source}: objective); train trials of it with `bmtune best "
            "RUN --trial N` and `bmtune train --seed`"
        )


def _told(space: SearchSpace) -> str:
    return ", ".join((*space.goal.metric, *space.goal.constraints))


def validated(model: type[Model], raw: dict[str, Any]) -> Model:
    """Options of the command line as a model.

    Raises:
        ConfigError: One breaks a rule; it is called as the option is.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        mistake, loc = str(clean(error, model, COMMAND_LINE)), error.errors()[0]["loc"]
        if loc:
            # An option is called as its field is, without the unit.
            option = str(loc[0]).removesuffix("_s").replace("_", "-").replace("constraints", "constraint")
            mistake = mistake.replace(f"{COMMAND_LINE}: {loc[0]}", f"{COMMAND_LINE}: --{option}")
        raise ConfigError(mistake) from error
