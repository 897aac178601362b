"""Configuration of the data: which set, and how it is split."""

from typing import Literal
from typing import get_args

from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config

DatasetName = Literal[
    "moons",
    "moons_4k",
    "moons_hard",
    "moons_small",
    "circles",
    "circles_4k",
    "circles_hard",
    "circles_small",
    "spirals",
    "spirals_4k",
    "spirals_hard",
    "spirals_small",
    "digits",
    "iris",
    "wine",
    "breast_cancer",
]
DATASETS: tuple[str, ...] = get_args(DatasetName)


class DataConfig(Config):
    """A data set and its split."""

    dataset: DatasetName = "moons_4k"
    """Name of the data set."""
    split_seed: int = Field(0, ge=0)
    """Seed of the stratified split, and of the rows of a synthetic set."""
    valid_fraction: float = Field(0.25, gt=0, lt=1)
    """Share of rows that select epochs and trials."""
    test_fraction: float = Field(0.25, gt=0, lt=1)
    """Share of rows that are looked at once, at the end."""

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> "DataConfig":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "valid_fraction + test_fraction < 1 must hold, "
                f"but got {self.valid_fraction} + {self.test_fraction}: no rows are left to train on"
            )
        return self
