"""A data set as arrays, before it is split, and the rules that it must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray

from bmtune.data.labels import encode_labels
from bmtune.errors import DataError

Values = NDArray[np.float64] | NDArray[np.float32] | NDArray[np.uint8]
"""Feature values; small types keep images small, and float64 holds each of them exactly."""

DataKind = Literal["points", "images", "series"]
"""What the features of a row are together: nothing in particular, the pixels of a square, line by line, or a series."""


@dataclass(frozen=True)
class Table:
    """The rows of a data set with their labels.

    Attributes:
        name: What messages call the data set.
        x: Feature values in the units of the source, (R, N).
        y: Labels 0 to C - 1, (R,).
        class_names: Name of each label, C of them.
        feature_names: Name of each column, N of them.
        test_rows: The rows of the official test split, or None where there is none.
        kind: What the features of a row are together.
        origin: Where the rows come from and how that was checked.
    """

    name: str
    x: Values
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    test_rows: NDArray[np.int64] | None = None
    kind: DataKind = "points"
    origin: str = ""


def table_from_arrays(
    x: ArrayLike, y: ArrayLike, *, name: str = "arrays", feature_names: Sequence[str] | None = None
) -> Table:
    """A checked table from rows (R, N) and labels (R,) of any kind.

    Raises:
        DataError: The shapes do not fit, a value is not a finite number, or there are fewer than two classes.
    """
    rows = _as_rows(x, name)
    labels, class_names = encode_labels(y, name=name)
    if len(labels) != len(rows):
        raise DataError(
            f"there must be one label for each row, but {name} has {len(rows)} rows and {len(labels)} labels; "
            "pass x and y of the same length"
        )
    names = tuple(feature_names) if feature_names is not None else _numbered(rows.shape[1])
    if len(names) != rows.shape[1]:
        raise DataError(
            f"there must be one name for each feature, but {name} has {rows.shape[1]} columns and {len(names)} "
            "feature names; pass as many names as columns"
        )
    table = Table(name=name, x=rows, y=labels, class_names=class_names, feature_names=names)
    check_table(table)
    return table


def check_table(table: Table) -> None:
    """Refuses a table that nothing can be trained on.

    Raises:
        DataError: A value is NaN or infinite, or there are fewer than two classes.
    """
    bad = ~np.isfinite(table.x)
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        raise DataError(
            f"every value must be finite, but {table.name} has {int(bad.sum())} that are not, the first "
            f"({table.x[row, column]}) in row {row}, column {column}, both counted from 0; "
            "remove these rows or fill in the values"
        )
    if len(table.class_names) < 2:
        raise DataError(
            f"there must be at least 2 classes, but {table.name} has only {', '.join(table.class_names) or 'none'}; "
            "add rows of another class"
        )


def _as_rows(x: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        raw = np.asarray(x)
        if np.iscomplexobj(raw):
            raise ValueError("a complex number is not a real one")
        # A copy, so that a caller who changes the array later does not change the data set.
        rows = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"x must hold real numbers in rows of equal length, but {name} does not ({error}); "
            "encode text and categories as numbers first"
        ) from error
    if rows.ndim != 2 or rows.size == 0:
        raise DataError(
            f"x must have the shape (rows, features) with at least one of each, but {name} has {rows.shape}; "
            "reshape it to two dimensions"
        )
    return rows


def _numbered(num_features: int) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(num_features))
