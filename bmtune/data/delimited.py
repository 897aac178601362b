"""Rows of numbers and a label in a .csv or .tsv file.

A .csv file has commas, or semicolons where its first line has semicolons and no comma; a .tsv file has
tabs. The first line names the columns if one of its fields, the last left aside, is no number or is
the name of the labels' column; else it is a row like the others.
"""

import csv
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bmtune.data.columns import LABEL
from bmtune.data.columns import label_column
from bmtune.data.table import Table
from bmtune.data.table import table_from_arrays
from bmtune.data.text import parse_label
from bmtune.data.text import parse_numbers
from bmtune.data.text import read_text
from bmtune.errors import DataError

_Line = tuple[int, list[str]]


def read_delimited(path: Path, label: str | None = None) -> Table:
    """The rows of a .csv or .tsv file.

    Args:
        path: The file.
        label: Column of the labels; None: `label`, or else the last one.

    Raises:
        DataError: The file is unreadable, a value is missing or no number, or a line is longer or shorter.
    """
    text = read_text(path)
    lines = _split_lines(text, _delimiter(text, path), path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"a data file must have rows, but {path} is empty; write one row a line")
    names = _header(first[1], label)
    rows = lines if names is not None else _with_first(first, lines)
    if names is None:
        names = (*(f"x{index}" for index in range(len(first[1]) - 1)), LABEL)
    at = label_column(names, label, path)
    x, labels = _read_rows(rows, len(names), at, path)
    features = [name for position, name in enumerate(names) if position != at]
    return table_from_arrays(x, np.array(labels, dtype=object), name=str(path), feature_names=features)


def _delimiter(text: str, path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    first = text.lstrip().partition("\n")[0]
    return ";" if ";" in first and "," not in first else ","


def _split_lines(text: str, delimiter: str, path: Path) -> Iterator[_Line]:
    """The fields of each line that is not blank, with the number of the (last) line that they stand in."""
    reader = csv.reader(text.split("\n"), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(
            f"a data file must be rows of fields, but line {reader.line_num} of {path} is not ({error}); mend that line"
        ) from error


def _header(fields: Sequence[str], label: str | None) -> tuple[str, ...] | None:
    names = tuple(field.strip() for field in fields)
    wanted = LABEL if label is None else label
    if wanted in names or not all(_is_number(name) for name in names[:-1]):
        return names
    return None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _with_first(first: _Line, rest: Iterator[_Line]) -> Iterator[_Line]:
    yield first
    yield from rest


def _read_rows(rows: Iterator[_Line], width: int, at: int, path: Path) -> tuple[NDArray[np.float64], list[str]]:
    columns = [column for column in range(1, width + 1) if column != at + 1]
    values: list[NDArray[np.float64]] = []
    labels: list[str] = []
    for number, fields in rows:
        if len(fields) != width:
            raise DataError(
                f"every line must have {width} fields, as the first one has, but {path} has {len(fields)} in line "
                f"{number}; mend that line"
            )
        labels.append(parse_label(fields.pop(at), path, number))
        values.append(parse_numbers(fields, path, number, columns))
    if not values:
        raise DataError(f"a data file must have rows, but {path} has only a line of names; add rows")
    return np.stack(values), labels
