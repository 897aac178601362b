"""The base of what the study after training returns: frozen, closed, and JSON whatever the numbers are."""

from pydantic import BaseModel
from pydantic import ConfigDict


class Result(BaseModel):
    """A frozen result; a number that is not finite travels as a string."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
