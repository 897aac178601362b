"""The base of every configuration model: frozen, closed, finite."""

from dataclasses import dataclass

from pydantic import BaseModel
from pydantic import ConfigDict


class Config(BaseModel):
    """A frozen configuration that refuses fields it does not know and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Lane:
    """Marks a hyperparameter that may differ between the trials of one pack.

    `lr: Annotated[float, Lane()]` becomes a vector over a pack; a field without the marker must
    be equal for all trials that are advanced together.

    Attributes:
        zero_apart: Trials that have 0 here take another program and do not share a pack with those that do not.
    """

    zero_apart: bool = False
