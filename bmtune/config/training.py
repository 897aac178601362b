"""Configuration of the trainers, with the field names of the trainer guide."""

from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.base import Lane
from bmtune.config.critic import CriticConfig
from bmtune.config.metrics import MetricName
from bmtune.config.metrics import MetricSchedule
from bmtune.config.metrics import check_watched
from bmtune.config.optimizer import OptimizerConfig
from bmtune.config.optimizer import lift_kwargs


class CriterionConfig(Config):
    """The loss of a classifier."""

    name: Literal["negative log-likelihood", "brier"] = "negative log-likelihood"
    """-log p(c|x), or the squared distance of p(.|x) to the label."""

    @model_validator(mode="before")
    @classmethod
    def _without_epsilon(cls, value: Any) -> Any:
        lifted = lift_kwargs(value)
        if isinstance(lifted, dict):
            # The guide's `eps` clamped a probability; here probabilities stay in logs and need none.
            return {key: entry for key, entry in lifted.items() if key != "eps"}
        return lifted


class ClassificationConfig(Config):
    """Training of p(c|x): the phases `pre` and `re`."""

    max_epoch: Annotated[int, Lane()] = Field(40, ge=1)
    """Most epochs."""
    batch_size: int = Field(64, ge=1)
    """Rows a step."""
    criterion: CriterionConfig = CriterionConfig()
    """The loss."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer of the cores."""
    patience: Annotated[int, Lane()] = Field(10, ge=1)
    """Epochs without improvement of stop_crit after which training stops."""
    stop_crit: MetricName = "loss"
    """The metric that is watched and whose best epoch is kept."""
    watch_freq: int = Field(1000, ge=1)
    """Steps between two logs of gradients."""
    metrics: MetricSchedule = (("acc", 1), ("loss", 1))
    """Metrics measured on the validation rows, each every so many epochs."""
    save: Annotated[bool, Lane()] = False
    """Whether a trainer writes its result to outputs/<name>/models/."""
    auto_stack: bool = True
    """Accepted for the trainer guide's sake; the contraction here is always stacked."""
    auto_unbind: bool = False
    """Accepted for the trainer guide's sake; the contraction here always unbinds."""

    @model_validator(mode="after")
    def _stop_crit_is_measured(self) -> "ClassificationConfig":
        check_watched(self.metrics, self.stop_crit, "stop_crit")
        return self


class SamplingConfig(Config):
    """How rows are drawn from the Born machine."""

    num_per_class: int = Field(256, ge=2)
    """Rows drawn for each class in one GAN step."""
    num_bins: int = Field(200, ge=4, le=10_000)
    """Bins of the grid on which a feature's conditional distribution is inverted."""


class GANStyleConfig(Config):
    """GAN-style training: a critic, and retraining of the classifier when it suffers."""

    max_epoch: Annotated[int, Lane()] = Field(20, ge=1)
    """Most epochs of the GAN phase."""
    critic: CriticConfig = CriticConfig()
    """The critic."""
    sampling: SamplingConfig = SamplingConfig()
    """How rows are generated."""
    r_real: float = Field(1.0, gt=0, le=100)
    """Real rows for each generated row in the critic's batches."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3)
    """The optimizer of the cores as generator."""
    patience: Annotated[int, Lane()] = Field(10, ge=1)
    """Epochs without improvement of stop_crit after which training stops."""
    stop_crit: MetricName = "fid"
    """The metric that is watched and whose best epoch is kept."""
    watch_freq: int = Field(1, ge=1)
    """Steps between two logs of gradients."""
    metrics: MetricSchedule = (("acc", 1), ("loss", 1), ("fid", 1))
    """Metrics measured on the validation rows, each every so many epochs."""
    retrain_crit: Annotated[Literal["acc", "loss"], Lane()] = "acc"
    """Whether retraining watches the fall of the accuracy or the relative rise of the class loss."""
    tolerance: Annotated[float, Lane()] = Field(0.02, ge=0)
    """Fall of the accuracy (share), or relative rise of the loss, that starts retraining."""
    retrain: Annotated[ClassificationConfig, Lane()] = ClassificationConfig(max_epoch=10, patience=3)
    """Training of the classifier after such a fall."""
    save: Annotated[bool, Lane()] = False
    """Whether a trainer writes its result to outputs/<name>/models/."""

    @model_validator(mode="after")
    def _what_decides_is_measured(self) -> "GANStyleConfig":
        check_watched(self.metrics, self.stop_crit, "stop_crit")
        check_watched(self.metrics, self.retrain_crit, "retrain_crit")
        if dict(self.metrics)[self.retrain_crit] != 1:
            raise ValueError(
                f"retrain_crit must be measured at every epoch, but metrics has {self.retrain_crit}: "
                f"{dict(self.metrics)[self.retrain_crit]}; set it to 1"
            )
        if self.retrain_crit not in dict(self.retrain.metrics):
            raise ValueError(
                f"retrain.metrics must hold retrain_crit, the goal of retraining, but got "
                f"{', '.join(dict(self.retrain.metrics))} without {self.retrain_crit!r}; add it"
            )
        return self
