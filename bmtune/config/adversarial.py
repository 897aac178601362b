"""Configuration of attacks and of training against them."""

from typing import Annotated
from typing import Literal

from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.base import Lane
from bmtune.config.metrics import MetricName
from bmtune.config.metrics import MetricSchedule
from bmtune.config.metrics import check_watched
from bmtune.config.optimizer import OptimizerConfig
from bmtune.config.training import CriterionConfig


class AttackConfig(Config):
    """A gradient attack inside a ball around each row, clipped to the interval at every iterate."""

    name: Literal["fgm", "pgd"] = "pgd"
    """One gradient step, or projected gradient ascent."""
    norm: Literal["l2", "linf"] = "l2"
    """The norm of the ball."""
    steps: int = Field(10, ge=1)
    """Iterates of pgd."""
    relative_step: float = Field(2.5, gt=0)
    """Length of a pgd step as a multiple of radius / steps."""
    restarts: int = Field(1, ge=1)
    """Attempts from new starts; a row counts as robust only if it survives all."""
    random_start: bool = True
    """Whether pgd starts uniformly in the ball or at the row itself."""


class AdversarialLoss(Config):
    """(1 - clean_weight) times the loss on attacked rows, plus clean_weight times that on clean ones."""

    name: Literal["pgd-at"] = "pgd-at"
    clean_weight: Annotated[float, Lane()] = Field(0.0, ge=0, le=1)
    """Share of the clean loss."""


class TradesLoss(Config):
    """The clean loss plus beta times KL(p(.|x) || p(.|x_adv))."""

    name: Literal["trades"] = "trades"
    beta: Annotated[float, Lane()] = Field(6.0, ge=0)
    """Weight of the divergence."""


class CurriculumConfig(Config):
    """Attack strength that grows linearly over the first epochs."""

    start: float = Field(1.0, ge=0, le=1)
    """Share of epsilon in the first epoch."""
    until: int = Field(1, ge=1)
    """First epoch at full strength."""


class AdversarialConfig(Config):
    """Adversarial training: the phase `adv`."""

    pretrain: Annotated[bool, Lane()] = False
    """Whether the classifier is trained on clean rows first, by trainer.classification."""
    max_epoch: Annotated[int, Lane()] = Field(40, ge=1)
    """Most epochs."""
    batch_size: int = Field(64, ge=1)
    """Rows a step."""
    criterion: CriterionConfig = CriterionConfig()
    """The classification loss."""
    method: Annotated[AdversarialLoss | TradesLoss, Field(discriminator="name")] = AdversarialLoss()
    """How attacked rows enter the loss."""
    attack: AttackConfig = AttackConfig()
    """The attack that is trained against."""
    epsilon: Annotated[float, Lane()] = Field(0.1, ge=0, le=1)
    """Radius of the attack's ball, as a fraction of the interval's length."""
    curriculum: Annotated[CurriculumConfig, Lane()] = CurriculumConfig()
    """How the strength grows."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-3)
    """The optimizer of the cores."""
    patience: Annotated[int, Lane()] = Field(10, ge=1)
    """Epochs without improvement of stop_crit after which training stops."""
    stop_crit: MetricName = "rob"
    """The metric that is watched and whose best epoch is kept."""
    watch_freq: int = Field(100, ge=1)
    """Steps between two logs of gradients."""
    metrics: MetricSchedule = (("acc", 1), ("loss", 1), ("rob", 1))
    """Metrics measured on the validation rows, each every so many epochs."""
    save: Annotated[bool, Lane()] = False
    """Whether a trainer writes its result to outputs/<name>/models/."""
    auto_stack: bool = True
    """Accepted for the trainer guide's sake; the contraction here is always stacked."""
    auto_unbind: bool = False
    """Accepted for the trainer guide's sake; the contraction here always unbinds."""

    @model_validator(mode="after")
    def _stop_crit_is_measured(self) -> "AdversarialConfig":
        check_watched(self.metrics, self.stop_crit, "stop_crit")
        return self
