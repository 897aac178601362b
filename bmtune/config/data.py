"""Configuration of the data: which set, where its files are, and how it is split."""

from typing import Annotated
from typing import Literal

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator

from bmtune.config.base import Config
from bmtune.config.base import Lane
from bmtune.config.datasets import DATASETS
from bmtune.config.datasets import IMAGES
from bmtune.config.datasets import DatasetName
from bmtune.config.datasets import check_dataset
from bmtune.config.datasets import is_user_file


class DataConfig(Config):
    """A data set and its split.

    Sets with an official test split (`mnist`, `fashion_mnist`, `ucr/NAME`) are tested on it: `valid_fraction` is then
    a share of the official training rows, and `test_fraction` is not used.
    """

    dataset: Annotated[str, AfterValidator(check_dataset)] = "moons_4k"
    """Name of the data set, `ucr/NAME` for one of the UCR archive, or a path to a .csv, .tsv, .npz or .parquet file."""
    split_seed: Annotated[int, Lane()] = Field(0, ge=0)
    """Seed of the stratified split, and of the rows of a synthetic set."""
    valid_fraction: float = Field(0.25, gt=0, lt=1)
    """Share of rows that select epochs and trials."""
    test_fraction: float = Field(0.25, gt=0, lt=1)
    """Share of rows that are looked at once, at the end; not used where there is an official test split."""
    pool: Literal[1, 2, 4] = 1
    """Edge, in pixels, of the squares whose mean is one feature: 28 x 28, 14 x 14 or 7 x 7 features of an image."""
    label: str | None = Field(None, min_length=1)
    """Column of the labels in a .csv, .tsv or .parquet file; without it the column `label`, or else the last one."""
    root: str | None = Field(None, min_length=1)
    """Folder of data files; without it the folder that $BMTUNE_DATA names, or else ~/.cache/bmtune."""

    @model_validator(mode="after")
    def _leaves_rows_to_train(self) -> "DataConfig":
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "valid_fraction + test_fraction < 1 must hold, "
                f"but got {self.valid_fraction} + {self.test_fraction}: no rows are left to train on"
            )
        return self

    @model_validator(mode="after")
    def _options_fit_the_set(self) -> "DataConfig":
        if self.pool != 1 and self.dataset not in IMAGES:
            raise ValueError(
                f"pool must be 1 for a data set other than {' and '.join(IMAGES)}, "
                f"but got pool={self.pool} with {self.dataset!r}: there are no pixels to pool"
            )
        if self.label is not None and (not is_user_file(self.dataset) or self.dataset.lower().endswith(".npz")):
            raise ValueError(
                "label must be left away unless the data set is a .csv, .tsv or .parquet file, "
                f"but got label={self.label!r} with {self.dataset!r}: its labels have their own place"
            )
        return self


__all__ = ["DATASETS", "DataConfig", "DatasetName"]
