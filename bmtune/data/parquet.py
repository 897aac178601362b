"""Rows of numbers and a label in a Parquet file."""

from pathlib import Path

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from bmtune.data.columns import label_column
from bmtune.data.table import Table
from bmtune.data.table import table_from_arrays
from bmtune.data.text import read_bytes
from bmtune.errors import DataError


def read_parquet(path: Path, label: str | None = None) -> Table:
    """The rows of a Parquet file.

    Args:
        path: The file.
        label: Column of the labels; None: `label`, or else the last one.

    Raises:
        DataError: The file is unreadable, or a column holds no numbers or has a missing value.
    """
    content = read_bytes(path)
    try:
        # As bytes: a path would be searched for names of partitions, which would become columns.
        table = parquet.ParquetFile(pyarrow.BufferReader(content)).read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"a .parquet file must be readable, but {path} is not ({reason}); write it again") from error
    names = table.column_names
    at = label_column(names, label, path)
    columns = [_numbers(table.column(position), name, path) for position, name in enumerate(names) if position != at]
    labels = table.column(at)
    _refuse_missing(labels, names[at], path)
    values = np.empty(len(labels), dtype=object)
    values[:] = labels.to_pylist()
    features = [name for position, name in enumerate(names) if position != at]
    return table_from_arrays(np.stack(columns, axis=1), values, name=str(path), feature_names=features)


def _numbers(column: pyarrow.ChunkedArray, name: str, path: Path) -> NDArray[np.float64]:
    kind = column.type
    types = pyarrow.types
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise DataError(
            f"every column but the labels' must hold numbers, but column {name!r} of {path} holds {kind}; encode it "
            "as numbers, or name it in data.label if it has the labels"
        )
    _refuse_missing(column, name, path)
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"every value must be a finite number, but got {values[bad[0]]} in {path}, row {bad[0] + 1}, column "
            f"{name!r}; fill it in, or leave the row out"
        )
    return values


def _refuse_missing(column: pyarrow.ChunkedArray, name: str, path: Path) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy())) + 1
        raise DataError(
            f"every value must be given, but {path} has {column.null_count} missing in column {name!r}, the first in "
            f"row {row}; fill them in, or leave the rows out"
        )
