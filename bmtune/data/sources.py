"""Where the rows of a data set come from: made here, carried by scikit-learn, or read from files.

The toys have two features and two classes. A variant is a number of rows a class, a standard
deviation of the noise and, for circles, the ratio of the radii.
"""

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

from bmtune.config.data_folders import data_root
from bmtune.config.datasets import check_dataset
from bmtune.config.datasets import ucr_name
from bmtune.data.images import IMAGE_SETS
from bmtune.data.images import load_images
from bmtune.data.seeds import SeedPurpose
from bmtune.data.seeds import seed_sequence
from bmtune.data.series import load_series
from bmtune.data.table import Table
from bmtune.data.user_files import load_user_file
from bmtune.errors import DataError

Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]


class Toy(NamedTuple):
    """A synthetic data set: its shape and the constants that the shape takes."""

    shape: Callable[["Toy", np.random.SeedSequence], Arrays]
    rows_per_class: int
    noise: float
    factor: float = 0.3
    """Radius of the inner circle, the outer one being 1; the other shapes do not use it."""


def _moons(toy: Toy, seed: np.random.SeedSequence) -> Arrays:
    size = (toy.rows_per_class, toy.rows_per_class)
    x, y = datasets.make_moons(size, shuffle=False, noise=toy.noise, random_state=_legacy_state(seed))
    return x, y


def _circles(toy: Toy, seed: np.random.SeedSequence) -> Arrays:
    size = (toy.rows_per_class, toy.rows_per_class)
    state = _legacy_state(seed)
    x, y = datasets.make_circles(size, shuffle=False, noise=toy.noise, random_state=state, factor=toy.factor)
    return x, y


def _spirals(toy: Toy, seed: np.random.SeedSequence) -> Arrays:
    """Two arms, theta = sqrt(U) 2 pi and r = 2 theta + pi, the second the first one turned by pi."""
    generator = np.random.default_rng(seed)
    arms = []
    for sign in (1.0, -1.0):
        theta = np.sqrt(generator.random(toy.rows_per_class)) * 2 * np.pi
        arm = sign * (2 * theta + np.pi)[:, None] * np.stack((np.cos(theta), np.sin(theta)), axis=1)
        arms.append(arm + toy.noise * generator.standard_normal(arm.shape))
    return np.concatenate(arms), np.repeat(np.arange(2, dtype=np.int64), toy.rows_per_class)


def _legacy_state(seed: np.random.SeedSequence) -> np.random.RandomState:
    # scikit-learn takes the old interface only; underneath it is seeded like everything else.
    return np.random.RandomState(np.random.MT19937(seed))


TOYS: Mapping[str, Toy] = {
    "moons": Toy(_moons, 1000, noise=0.05),
    "moons_4k": Toy(_moons, 4000, noise=0.05),
    "moons_hard": Toy(_moons, 500, noise=0.25),
    "moons_small": Toy(_moons, 200, noise=0.15),
    "circles": Toy(_circles, 1000, noise=0.05),
    "circles_4k": Toy(_circles, 4000, noise=0.05),
    "circles_hard": Toy(_circles, 500, noise=0.20, factor=0.5),
    "circles_small": Toy(_circles, 200, noise=0.15),
    "spirals": Toy(_spirals, 1000, noise=0.5),
    "spirals_4k": Toy(_spirals, 4000, noise=0.5),
    "spirals_hard": Toy(_spirals, 500, noise=1.0),
    "spirals_small": Toy(_spirals, 200, noise=1.0),
}
"""Every toy by name."""

REAL: Mapping[str, Callable[[], Any]] = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}
"""The data sets that scikit-learn carries, by name."""


def load_table(
    dataset: str, seed: int = 0, *, pool: int = 1, label: str | None = None, root: str | Path | None = None
) -> Table:
    """The rows of a data set.

    Args:
        dataset: One of `bmtune.config.data.DATASETS`, `ucr/NAME`, or a path to a .csv, .tsv, .npz or .parquet file.
        seed: Determines the rows of a toy; the others do not use it.
        pool: Edge of the squares of pixels whose mean is one feature; for images.
        label: Column of the labels in a .csv, .tsv or .parquet file; None: `label`, or else the last one.
        root: Folder of data files; None: the one that $BMTUNE_DATA names, or else ~/.cache/bmtune.

    Raises:
        DataError: There is no such data set, its files are missing or damaged, or nothing can be trained on them.
    """
    try:
        check_dataset(dataset)
    except ValueError as error:
        raise DataError(str(error)) from error
    if dataset in TOYS:
        return _toy_table(dataset, seed)
    if dataset in REAL:
        return _real_table(dataset)
    if dataset in IMAGE_SETS:
        return load_images(IMAGE_SETS[dataset], data_root(root), pool)
    series = ucr_name(dataset)
    return load_user_file(Path(dataset), label) if series is None else load_series(series, data_root(root))


def _toy_table(dataset: str, seed: int) -> Table:
    toy = TOYS[dataset]
    x, y = toy.shape(toy, seed_sequence(seed, SeedPurpose.ROWS))
    return Table(
        name=dataset,
        x=x,
        y=y.astype(np.int64),
        class_names=("0", "1"),
        feature_names=("x0", "x1"),
        origin="made by bmtune",
    )


def _real_table(dataset: str) -> Table:
    bunch = REAL[dataset]()
    return Table(
        name=dataset,
        x=np.asarray(bunch.data, dtype=np.float64),
        y=np.asarray(bunch.target, dtype=np.int64),
        class_names=tuple(str(name) for name in bunch.target_names),
        feature_names=tuple(str(name) for name in bunch.feature_names),
        kind="images" if dataset == "digits" else "points",
        origin="carried by scikit-learn",
    )
