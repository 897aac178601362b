"""Labels of any kind as whole numbers from 0, with their names kept."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray

from bmtune.errors import DataError


def encode_labels(values: ArrayLike, *, name: str = "y") -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels 0 to C - 1 and the name of each, in numerical order where all names are numbers.

    Strings, -1/1, 1..k, booleans and whole numbers written as floats all work: `[-1, 1, 1]`
    becomes `[0, 1, 1]` with the names `("-1", "1")`.

    Args:
        values: One label a row, (R,).
        name: What messages call the data set.

    Returns:
        The encoded labels (R,) and the C names.

    Raises:
        DataError: The labels are not a vector, or one of them is missing.
    """
    labels = np.asarray(values)
    if labels.ndim != 1:
        raise DataError(
            f"the labels must be a vector with one entry a row, but those of {name} have the shape {labels.shape}; "
            "pass class labels, not one-hot rows"
        )
    _refuse_missing(labels, name)
    unique, codes = np.unique(_as_text(labels), return_inverse=True)
    order = _display_order(unique)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes], tuple(str(unique[index]) for index in order)


def _refuse_missing(labels: NDArray[Any], name: str) -> None:
    if labels.dtype.kind == "f":
        missing = ~np.isfinite(labels)
    elif labels.dtype.kind == "O":
        missing = np.array([entry is None or entry != entry for entry in labels], dtype=bool)
    else:
        return
    if missing.any():
        raise DataError(
            f"every row must have a label, but {name} has {int(missing.sum())} without one, the first in row "
            f"{int(np.argmax(missing))}, counted from 0; remove these rows or label them"
        )


def _as_text(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind == "f" and np.all(labels == np.rint(labels)):
        # 1.0 and 1 are the same class to whoever wrote the file; adding 0 turns -0.0 into 0.0.
        return np.array([format(entry + 0.0, ".0f") for entry in labels.tolist()], dtype=np.str_)
    if labels.dtype.kind in "OS":
        return np.array([_plain(entry) for entry in labels], dtype=np.str_)
    return labels.astype(np.str_)


def _plain(entry: object) -> str:
    if isinstance(entry, bytes):
        # A label that is no text still is a label.
        return entry.decode(errors="backslashreplace")
    if isinstance(entry, float) and entry.is_integer():
        return format(entry + 0.0, ".0f")
    return str(entry)


def _display_order(names: NDArray[Any]) -> NDArray[np.int64]:
    """Indices that sort the names: by value where all are numbers (2 before 10), else as text."""
    try:
        numbers = names.astype(np.float64)
    except ValueError:
        return np.arange(len(names), dtype=np.int64)
    return np.argsort(numbers, kind="stable").astype(np.int64)
