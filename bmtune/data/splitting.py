"""A stratified split of rows into train, valid and test."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bmtune.config.data import DataConfig
from bmtune.data.seeds import SeedPurpose
from bmtune.data.seeds import seed_sequence
from bmtune.data.table import Table
from bmtune.errors import DataError

SPLITS = ("train", "valid", "test")
"""The names of the splits."""


class SplitSizes(NamedTuple):
    """Rows of one class in each split."""

    train: int
    valid: int
    test: int


def split_sizes(num_rows: int, config: DataConfig) -> SplitSizes:
    """How many of the `num_rows` >= 3 rows of one class each split gets: at least one, else the nearest share."""
    test = min(max(round(num_rows * config.test_fraction), 1), num_rows - 2)
    valid = min(max(round(num_rows * config.valid_fraction), 1), num_rows - test - 1)
    return SplitSizes(train=num_rows - test - valid, valid=valid, test=test)


def split_rows(table: Table, config: DataConfig) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each split, ascending: disjoint, together all rows, with the classes in equal shares.

    The test rows are set aside first and depend on neither `valid_fraction` nor the features. An
    official test split is the test split as it is, and only the other rows are split.

    Raises:
        DataError: A class has too few rows for a row in every split.
    """
    generator = np.random.default_rng(seed_sequence(config.split_seed, SeedPurpose.SPLIT))
    if table.test_rows is not None:
        return _split_training_rows(table, table.test_rows, config, generator)
    counts = np.bincount(table.y, minlength=len(table.class_names))
    _refuse_rare(table, counts)
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for label, count in enumerate(counts):
        rows = generator.permutation(np.flatnonzero(table.y == label))
        sizes = split_sizes(int(count), config)
        test, valid, train = np.split(rows, (sizes.test, sizes.test + sizes.valid))
        for name, part in zip(SPLITS, (train, valid, test), strict=True):
            parts[name].append(part)
    return {name: np.sort(np.concatenate(part)) for name, part in parts.items()}


def _split_training_rows(
    table: Table, test_rows: NDArray[np.int64], config: DataConfig, generator: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """The three splits where the test rows are given: validation rows come from the others."""
    is_test = np.zeros(len(table.y), dtype=bool)
    is_test[test_rows] = True
    _refuse_rare_official(table, is_test)
    parts: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for label in range(len(table.class_names)):
        rows = generator.permutation(np.flatnonzero((table.y == label) & ~is_test))
        num_valid = min(max(round(len(rows) * config.valid_fraction), 1), len(rows) - 1)
        for part, chosen in zip(parts, np.split(rows, [num_valid]), strict=True):
            part.append(chosen)
    valid, train = (np.sort(np.concatenate(part)) for part in parts)
    return {"train": train, "valid": valid, "test": np.flatnonzero(is_test)}


def _refuse_rare_official(table: Table, is_test: NDArray[np.bool_]) -> None:
    for rows, fewest, meaning in (
        (~is_test, 2, "training rows, one for each of train and valid"),
        (is_test, 1, "row in its official test split"),
    ):
        counts = np.bincount(table.y[rows], minlength=len(table.class_names))
        rare = int(np.argmin(counts))
        if counts[rare] < fewest:
            raise DataError(
                f"each class of {table.name} must have at least {fewest} {meaning}, but class "
                f"{table.class_names[rare]!r} has {counts[rare]}; add rows of this class or leave it out"
            )


def _refuse_rare(table: Table, counts: NDArray[np.int64]) -> None:
    rare = int(np.argmin(counts))
    if counts[rare] < len(SPLITS):
        raise DataError(
            f"each class must have at least {len(SPLITS)} rows, one for each of {', '.join(SPLITS)}, but class "
            f"{table.class_names[rare]!r} of {table.name} has {counts[rare]}; add rows of this class or leave it out"
        )
