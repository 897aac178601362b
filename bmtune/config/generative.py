"""Configuration of generative training: the likelihood of p(x, c)."""

from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import BeforeValidator
from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.base import Lane
from bmtune.config.metrics import MetricName
from bmtune.config.metrics import MetricSchedule
from bmtune.config.metrics import check_watched
from bmtune.config.optimizer import OptimizerConfig
from bmtune.config.optimizer import lift_kwargs


class JointNLL(Config):
    """-log p(x, c)."""

    name: Literal["nll"] = "nll"


class MixedNLL(Config):
    """(1 - alpha) times -log p(c|x), plus alpha times -log p(x, c)."""

    name: Literal["mixed"] = "mixed"
    alpha: Annotated[float, Lane()] = Field(0.5, ge=0, le=1)
    """Share of the joint likelihood: 0 is classification, 1 is fully generative."""


def _guide_spelling(value: Any) -> Any:
    """Accepts the trainer guide's `{name: generative-nll, kwargs: {eps: ...}}`; logs need no eps."""
    lifted = lift_kwargs(value)
    if not isinstance(lifted, dict):
        return lifted
    plain = {key: entry for key, entry in lifted.items() if key != "eps"}
    return {**plain, "name": "nll"} if plain.get("name") == "generative-nll" else plain


GenerativeCriterion = Annotated[JointNLL | MixedNLL, Field(discriminator="name"), BeforeValidator(_guide_spelling)]


class NormControlConfig(Config):
    """Keeps Z near a target; the likelihood does not depend on it, the number type's range does."""

    every: int = Field(0, ge=0)
    """Steps between two rescalings of all cores to the target; 0 for none."""
    penalty: Annotated[float, Lane(zero_apart=True)] = Field(0.0, ge=0)
    """Weight of (log Z - log target)^2 in the loss."""
    target: Annotated[Annotated[float, Field(gt=0)] | Literal["start"], Lane()] = 1.0
    """The target of Z: a number, or its value at the start of the phase."""


class GenerativeConfig(Config):
    """Generative training: the phase `gen`."""

    pretrain: Annotated[bool, Lane()] = False
    """Whether the classifier is trained first, by trainer.classification."""
    max_epoch: Annotated[int, Lane()] = Field(40, ge=1)
    """Most epochs."""
    batch_size: int = Field(64, ge=1)
    """Rows a step."""
    criterion: GenerativeCriterion = JointNLL()
    """The loss."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-3)
    """The optimizer of the cores."""
    norm_control: NormControlConfig = NormControlConfig()
    """What keeps Z in range."""
    patience: Annotated[int, Lane()] = Field(10, ge=1)
    """Epochs without improvement of stop_crit after which training stops."""
    stop_crit: MetricName = "genloss"
    """The metric that is watched and whose best epoch is kept."""
    watch_freq: int = Field(100, ge=1)
    """Steps between two logs of gradients."""
    metrics: MetricSchedule = (("acc", 1), ("loss", 1), ("genloss", 1))
    """Metrics measured on the validation rows, each every so many epochs."""
    save: Annotated[bool, Lane()] = False
    """Whether a trainer writes its result to outputs/<name>/models/."""
    auto_stack: bool = True
    """Accepted for the trainer guide's sake; the contraction here is always stacked."""
    auto_unbind: bool = False
    """Accepted for the trainer guide's sake; the contraction here always unbinds."""

    @model_validator(mode="after")
    def _stop_crit_is_measured(self) -> "GenerativeConfig":
        check_watched(self.metrics, self.stop_crit, "stop_crit")
        return self
