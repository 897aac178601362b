"""Configuration of the critic, the network that tells samples from real rows."""

from typing import Annotated
from typing import Literal

from pydantic import Field

from bmtune.config.base import Config
from bmtune.config.base import Lane
from bmtune.config.optimizer import OptimizerConfig


class BinaryCrossEntropy(Config):
    """The critic is a classifier; the generator's loss is the non-saturating one."""

    name: Literal["bce"] = "bce"


class WassersteinGradientPenalty(Config):
    """The critic estimates a Wasserstein distance under a penalty on its gradient norms."""

    name: Literal["wgan-gp"] = "wgan-gp"
    gradient_penalty: Annotated[float, Lane()] = Field(10.0, ge=0)
    """Weight of the squared distance of each row's gradient norm from 1."""


CriticLoss = Annotated[BinaryCrossEntropy | WassersteinGradientPenalty, Field(discriminator="name")]


class CriticConfig(Config):
    """A multilayer perceptron with one or several outputs."""

    loss: CriticLoss = BinaryCrossEntropy()
    """The game that critic and generator play."""
    head: Literal["aware", "agnostic"] = "aware"
    """Whether the critic is told the class of a row."""
    width_multipliers: tuple[float, ...] = Field((4.0, 4.0), min_length=1)
    """Hidden widths as multiples of the number of features."""
    min_width: int = Field(64, ge=1)
    """No hidden layer is narrower."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3, betas=(0.5, 0.99))
    """Optimizer of the critic."""
    steps: int = Field(5, ge=1)
    """Critic steps for one generator step."""
    pretrain_epochs: Annotated[int, Lane()] = Field(5, ge=0)
    """Epochs of the phase `critic`: only the critic is trained, before the first generator step."""
