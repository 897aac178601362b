"""The dimensions of a search space: typed, frozen, and valid once they exist."""

import math
from collections.abc import Mapping
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import BeforeValidator
from pydantic import Field
from pydantic import JsonValue
from pydantic import PlainSerializer
from pydantic import model_validator

from bmtune.config.base import Config


def _conditions(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return tuple((path, tuple(wanted) if isinstance(wanted, list) else (wanted,)) for path, wanted in value.items())


def _plain(conditions: tuple[tuple[str, tuple[JsonValue, ...]], ...]) -> dict[str, JsonValue]:
    return {path: wanted[0] if len(wanted) == 1 else list(wanted) for path, wanted in conditions}


Conditions = Annotated[
    tuple[tuple[str, tuple[JsonValue, ...]], ...],
    BeforeValidator(_conditions),
    PlainSerializer(_plain, return_type=dict),
]
"""`{path: value}` or `{path: [value, ...]}`: all must hold for a dimension to exist; kept as pairs."""


def _ordered(low: float, high: float) -> None:
    """Raises ValueError for an empty range or a single value."""
    if low > high:
        raise ValueError(f"low < high must hold, but got low={low}, high={high}; swap them")
    if low == high:
        raise ValueError(
            f"low < high must hold, but got low=high={low}; give a range, or move the value to base, where it is fixed"
        )


class FloatDimension(Config):
    """Real numbers from `low` to `high`, both included."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    """Whether to search on a logarithmic scale."""
    step: float | None = Field(None, gt=0)
    """Distance of neighbouring values; None: all real numbers."""
    when: Conditions = ()
    """The values of other dimensions with which this one exists."""

    @model_validator(mode="after")
    def _holds_values(self) -> "FloatDimension":
        _ordered(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(
                f"low > 0 must hold for a range with log: true, but got low={self.low}; raise low, or set log: false"
            )
        if self.log and self.step is not None:
            raise ValueError(f"a range has either log or step, but got log: true and step={self.step}; leave one away")
        if self.step is not None and self.low + self.step > self.high:
            raise ValueError(
                f"step <= high - low must hold, but got step={self.step} and "
                f"high - low = {self.high - self.low}; give a smaller step"
            )
        return self

    def contains(self, value: Any) -> bool:
        """Whether the search could propose `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-8)

    def probes(self) -> tuple[float, ...]:
        """Values that a configuration field must accept for the whole range to be fit for it."""
        # The middle one is no whole number, so that an integer field refuses a real range.
        inner = self.low + (self.high - self.low) / math.e if self.step is None else self.low + self.step
        return (self.low, inner, self.high)

    def describe(self) -> str:
        """The range in words."""
        return f"{self.low} to {self.high}" + (f" in steps of {self.step}" if self.step else "")


class IntDimension(Config):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    """Whether to search on a logarithmic scale."""
    step: int = Field(1, ge=1)
    """Distance of neighbouring values."""
    when: Conditions = ()
    """The values of other dimensions with which this one exists."""

    @model_validator(mode="after")
    def _holds_values(self) -> "IntDimension":
        _ordered(self.low, self.high)
        if self.log and self.low < 1:
            raise ValueError(
                f"low >= 1 must hold for whole numbers with log: true, but got low={self.low}; "
                "raise low, or set log: false"
            )
        if self.log and self.step != 1:
            raise ValueError(f"a range has either log or step, but got log: true and step={self.step}; leave one away")
        if self.low + self.step > self.high:
            raise ValueError(
                f"step <= high - low must hold, but got step={self.step} and "
                f"high - low = {self.high - self.low}; give a smaller step"
            )
        return self

    def contains(self, value: Any) -> bool:
        """Whether the search could propose `value`."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def probes(self) -> tuple[int, ...]:
        """Values that a configuration field must accept for the whole range to be fit for it."""
        return (self.low, self.high)

    def describe(self) -> str:
        """The range in words."""
        return f"whole numbers from {self.low} to {self.high}" + (f" in steps of {self.step}" if self.step > 1 else "")


class CategoricalDimension(Config):
    """One of several values."""

    type: Literal["categorical"]
    choices: tuple[JsonValue, ...]
    when: Conditions = ()
    """The values of other dimensions with which this one exists."""

    @model_validator(mode="after")
    def _holds_values(self) -> "CategoricalDimension":
        if len(self.choices) < 2:
            raise ValueError(
                f"choices must hold at least two values, but got {list(self.choices)}; "
                "add another, or move the value to base, where it is fixed"
            )
        for position, choice in enumerate(self.choices):
            if any(_same(choice, other) for other in self.choices[:position]):
                raise ValueError(f"choices must differ from each other, but got {choice!r} twice; leave one away")
        return self

    def contains(self, value: Any) -> bool:
        """Whether the search could propose `value`."""
        return any(_same(value, choice) for choice in self.choices)

    def probes(self) -> tuple[JsonValue, ...]:
        """Values that a configuration field must accept for the whole range to be fit for it."""
        return self.choices

    def describe(self) -> str:
        """The choices in words."""
        return f"one of {', '.join(str(choice) for choice in self.choices)}"


def _same(left: Any, right: Any) -> bool:
    """Equality that tells True from 1."""
    plain_left, plain_right = (list(value) if isinstance(value, tuple) else value for value in (left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(plain_left == plain_right)


Dimension = Annotated[FloatDimension | IntDimension | CategoricalDimension, Field(discriminator="type")]
"""One searched hyperparameter."""
