"""Configuration of an optimizer."""

from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.base import Lane

Decay = Annotated[float, Field(ge=0, lt=1)]


def lift_kwargs(value: Any) -> Any:
    """Accepts `{name: adam, kwargs: {lr: 1e-4}}`, the trainer guide's spelling, as `{name: adam, lr: 1e-4}`."""
    if isinstance(value, dict) and isinstance(value.get("kwargs"), dict):
        return {**{key: entry for key, entry in value.items() if key != "kwargs"}, **value["kwargs"]}
    return value


class OptimizerConfig(Config):
    """A first-order optimizer and its constants."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    """Which optimizer."""
    lr: Annotated[float, Lane()] = Field(1e-2, gt=0)
    """Learning rate of the first step."""
    lr_decay: Annotated[float, Lane()] = Field(0.0, ge=0)
    """The rate after t steps is lr / (1 + lr_decay t); 0 keeps it."""
    weight_decay: Annotated[float, Lane(zero_apart=True)] = Field(0.0, ge=0)
    """Weight decay: coupled for adam and sgd, decoupled for adamw."""
    betas: Annotated[tuple[Decay, Decay], Lane()] = (0.9, 0.999)
    """Decay rates of Adam's running moments; sgd does not use them."""

    _kwargs = model_validator(mode="before")(lift_kwargs)
