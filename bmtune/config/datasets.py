"""What is known of a data set by its name alone: whether there is one, and its size."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Literal
from typing import NamedTuple
from typing import get_args

from bmtune.config.mistakes import did_you_mean

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
    "mnist",
    "fashion_mnist",
]
DATASETS: tuple[str, ...] = get_args(DatasetName)
"""The data sets that have a name of their own; series of the UCR archive and files of the user come beside them."""

IMAGES = ("mnist", "fashion_mnist")
"""Those of `DATASETS` whose files must be fetched; all others come with bmtune."""

POOLS = (1, 2, 4)
"""Edges of the squares of pixels that may become one feature."""

UCR_PREFIX = "ucr/"
"""What precedes the name of a data set of the UCR archive."""

FILE_SUFFIXES = (".csv", ".tsv", ".npz", ".parquet")
"""How a path to a file of the user ends, in small or capital letters."""

_UCR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Size(NamedTuple):
    """The size of a data set."""

    rows: int
    features: int
    classes: int


SIZES: Mapping[str, Size] = {
    **{
        shape + variant: Size(2 * rows, 2, 2)
        for shape in ("moons", "circles", "spirals")
        for variant, rows in (("", 1000), ("_4k", 4000), ("_hard", 500), ("_small", 200))
    },
    "digits": Size(1797, 64, 10),
    "iris": Size(150, 4, 3),
    "wine": Size(178, 13, 3),
    "breast_cancer": Size(569, 30, 2),
    "mnist": Size(70_000, 784, 10),
    "fashion_mnist": Size(70_000, 784, 10),
}
"""The size of each of `DATASETS`."""


def ucr_name(dataset: str) -> str | None:
    """`GunPoint` of `ucr/GunPoint`; None for a data set of another kind."""
    name = dataset.removeprefix(UCR_PREFIX)
    return name if name != dataset and _UCR_NAME.fullmatch(name) else None


def is_user_file(dataset: str) -> bool:
    """Whether the data set is a path to a file of the user; the file need not exist."""
    return PurePath(dataset).suffix.lower() in FILE_SUFFIXES


def short_name(dataset: str) -> str:
    """The data set as a part of a file name: `ucr/GunPoint` is `GunPoint`, `../my rows.csv` is `my-rows`."""
    if dataset in DATASETS:
        return dataset
    last = PurePath(dataset).stem if is_user_file(dataset) else dataset.removeprefix(UCR_PREFIX)
    return re.sub(r"[^\w.+-]+", "-", last)


def check_dataset(dataset: str) -> str:
    """`dataset` itself, where it is a name, `ucr/NAME` or a path.

    Raises:
        ValueError: It is none of them; the message is one sentence.
    """
    if dataset in DATASETS or ucr_name(dataset) is not None or is_user_file(dataset):
        return dataset
    hint = did_you_mean(dataset, DATASETS)
    *others, last = FILE_SUFFIXES
    raise ValueError(
        f"a data set must be one of {', '.join(DATASETS)}, {UCR_PREFIX}NAME for a set of the UCR archive, or a path to "
        f"a {', '.join(others)} or {last} file, but got {dataset!r}; "
        f"{hint if hint.startswith('did you mean') else 'choose one of these'}"
    )
