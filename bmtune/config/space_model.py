"""A search space: a base configuration, the searched hyperparameters, the objective and the budget."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import BeforeValidator
from pydantic import Field
from pydantic import JsonValue
from pydantic import PlainSerializer
from pydantic import field_validator
from pydantic import model_validator

from bmtune.config.aims import aims_of
from bmtune.config.base import Config
from bmtune.config.constraints import check_different
from bmtune.config.constraints import parse_constraint
from bmtune.config.constraints import write_constraint
from bmtune.config.dimensions import Dimension
from bmtune.config.metrics import Metric
from bmtune.config.metrics import MetricName
from bmtune.config.metrics import known_metric
from bmtune.config.paths import get
from bmtune.config.paths import with_values
from bmtune.config.root import MAIN_TRAINER
from bmtune.config.root import BestEpochConfig
from bmtune.config.root import TrialConfig
from bmtune.records import Aims

FORMAT = "bmtune.search"
VERSION = 2
READABLE = (1, 2)
"""Versions that this release reads: the first knew one objective and no constraint, and such spaces are written so."""

MAIN_PHASE = {recipe: f"trainer.{field}" for recipe, field in MAIN_TRAINER.items()}
"""Where the settings lie of the phase that a recipe is about."""

Params = dict[str, JsonValue]
"""Proposed values by dotted path."""


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _amounts(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    for name, amount in value.items():
        if name in ("CPU", "GPU"):
            raise ValueError(f"{name} has an option of its own; give cpus_per_trial or gpus_per_trial")
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < math.inf:
            raise ValueError(f"resources takes name: amount, an amount above 0, but got {name}: {amount!r}")
    return tuple((name, float(amount)) for name, amount in value.items())


AmountsByName = Annotated[
    tuple[tuple[str, float], ...],
    BeforeValidator(_amounts),
    PlainSerializer(lambda pairs: dict(pairs), return_type=dict),
]
"""`{name: amount}`, kept as pairs so that a frozen model holds nothing that can change."""


class ObjectiveConfig(Config):
    """What the search makes as good as it can; the direction belongs to the metric."""

    metric: Annotated[tuple[MetricName, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
    """The metric, or several."""
    constraints: tuple[str, ...] = ()
    """What a trial must satisfy to win, such as fid <= 0.01."""

    @field_validator("metric")
    @classmethod
    def _none_comes_twice(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"objectives must differ from each other, but got {name!r} twice; leave one away")
        return value

    @field_validator("constraints")
    @classmethod
    def _constraints_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(write_constraint(parse_constraint(text)) for text in value)
        check_different(found)
        return found

    @property
    def aims(self) -> Aims:
        """The same with directions and limits."""
        return aims_of(self.metric, self.constraints)

    def to_mapping(self) -> dict[str, JsonValue]:
        """What a search space holds of it."""
        found: dict[str, JsonValue] = {"metric": self.metric[0] if len(self.metric) == 1 else list(self.metric)}
        return {**found, "constraints": list(self.constraints)} if self.constraints else found


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
    halving: Literal["promote", "stop"] | None = None
    """Whether a weak trial pauses until later results promote it, or ends; None: promote with packs, else stop."""
    sampler: Literal["tpe", "random"] = "tpe"
    """What proposes configurations."""
    time_budget_s: float | None = Field(None, gt=0)
    """Seconds after which the search ends; None: no limit."""
    pack: int | Literal["auto"] = "auto"
    """Trials that one process trains together; 1: each trial has a process of its own."""
    cpus_per_trial: int = Field(1, ge=1)
    """Processors, and threads, of one process that trains."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = 0.0
    """GPUs of one trial: whole, or 1/k for k trials on each GPU; auto: on each GPU as many as measuring says."""
    resources: AmountsByName = ()
    """What else of a Ray cluster one trial occupies, by name; one that shares no GPU: one process that trains."""
    max_concurrent: int | None = Field(None, ge=1)
    """Trials at once; None: as many as there is room for."""
    report_every_s: float = Field(1.0, ge=0)
    """Seconds between two messages of one trial; 0: a message after every epoch."""
    checkpoint_every: int = Field(10, ge=1)
    """Most epochs that a trial loses with its process, as long as checkpoints are not written more often than every few
    seconds."""
    max_failures: int = Field(3, ge=0)
    """How often a trial is trained on from its last checkpoint after its process was lost."""
    share_pre: bool = True
    """Whether trials that pre-train alike do so from one seed, and one of them for all."""
    pre_cache: str | None = Field(None, min_length=1)
    """Folder of results of pre-training that several runs share; None: one in the run folder."""
    wandb: Literal["online", "offline"] | None = None
    """Whether Weights & Biases hears of the search; None: it does not."""
    confirm: str = "auto"
    """K:S: at the end the K best configurations and the base one are trained with S fresh seeds each; auto: 3:5 or
    less, if that is quick beside the search; none: they are not."""

    @field_validator("confirm", mode="before")
    @classmethod
    def _confirm_is_a_wish(cls, value: object) -> object:
        text = "none" if str(value) == "0" else str(value)
        found = re.fullmatch(r"(\d+):(\d+)", text)
        if text not in ("auto", "none") and not (found and int(found[1]) >= 1 and int(found[2]) >= 2):
            raise ValueError(
                "confirm must be auto, none or K:S with at least 1 configuration and 2 seeds, since one value has no "
                f"spread, but got {value}; give 3:5"
            )
        return text

    @field_validator("gpus_per_trial", mode="before")
    @classmethod
    def _gpus_are_auto_or_a_number(cls, value: object) -> object:
        text = str(value)
        try:
            return text if text == "auto" else float(text)
        except ValueError as error:
            raise ValueError(
                f"gpus_per_trial must be auto or a number, but got {value}; give 1, 0.5 or auto"
            ) from error

    @field_validator("pack", mode="before")
    @classmethod
    def _pack_is_auto_or_a_width(cls, value: object) -> object:
        text = str(value)
        if text == "auto" or (not isinstance(value, bool) and text.isdecimal() and int(text) >= 1):
            return text if text == "auto" else int(text)
        raise ValueError(f"pack must be auto or a whole number from 1 on, but got {value}; leave it at auto")


@dataclass(frozen=True)
class SearchSpace:
    """A search space in which every path, range and value was checked.

    Attributes:
        trainer: The recipe.
        goal: The metrics that are to become good, and the constraints.
        budget: Trials and epochs.
        base: The configuration of trial 0, and of everything that is not searched.
        parameters: Searched dimensions by path; one that others depend on comes before them.
        run: Settings of the run.
        source: The file, for messages.
    """

    trainer: str
    goal: ObjectiveConfig
    budget: Budget
    base: TrialConfig
    parameters: tuple[tuple[str, Dimension], ...]
    run: RunSettings
    source: str

    @property
    def objective(self) -> Metric:
        """The metric, or the first of several."""
        return known_metric(self.goal.metric[0])

    @property
    def aims(self) -> Aims:
        """The objectives and the constraints."""
        return self.goal.aims

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
            "version": 1 if self.aims.is_plain else VERSION,
            "trainer": self.trainer,
            "objective": self.goal.to_mapping(),
            "budget": self.budget.model_dump(mode="json"),
            "run": self.run.model_dump(mode="json"),
            "base": self.base.model_dump(mode="json"),
            "parameters": {
                path: dimension.model_dump(mode="json", exclude_defaults=True) for path, dimension in self.parameters
            },
        }


def plain(value: Any) -> JsonValue:
    """A value of a configuration as JSON has it."""
    return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def is_active(dimension: Dimension, params: Mapping[str, Any]) -> bool:
    """Whether a dimension exists beside these values."""
    return all(path in params and params[path] in wanted for path, wanted in dimension.when)


def main_settings(base: TrialConfig, trainer: str, goal: ObjectiveConfig, max_epochs: int) -> TrialConfig:
    """`base` with the main phase measuring all that counts and watching the objectives, over the whole budget."""
    main = MAIN_PHASE[trainer]
    metrics = {**dict(base.main_metrics), **dict.fromkeys(goal.aims.names, 1)}
    base = with_values(
        base, {f"{main}.max_epoch": max_epochs, f"{main}.metrics": metrics, f"{main}.stop_crit": goal.metric[0]}
    )
    more = BestEpochConfig(objectives=goal.metric[1:], constraints=goal.constraints)
    return base.model_copy(update={"best_epoch": more})
