"""The four text formats of the UCR archive: the series of one file and their labels.

`.tsv` (archive of 2018) and `.txt` (older ones, blanks or commas) have the label first; `.ts` and `.arff` have a
header and the label last. A set is read only where all series have the same length and no value is missing.

References:
    Dau et al. 2019, "The UCR time series archive", IEEE/CAA J. Autom. Sinica 6 (6); the `.ts` and `.arff` files
    of timeseriesclassification.com.
"""

import csv
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bmtune.data.text import numbered_lines
from bmtune.data.text import parse_label
from bmtune.data.text import parse_numbers
from bmtune.data.text import read_text
from bmtune.errors import DataError


class _Row(NamedTuple):
    """One series as text: where it is, its label, its values and the column of the first of them."""

    line: int
    label: str
    fields: list[str]
    first_column: int


class Series(NamedTuple):
    """The series of one file.

    Attributes:
        x: One series a row, (R, N).
        labels: Their labels, R of them.
    """

    x: NDArray[np.float64]
    labels: list[str]


def read_series(path: Path) -> Series:
    """The series of one file, in the format that the end of its name says.

    Raises:
        DataError: The file is unreadable, a value is missing or no number, or the lengths differ.
    """
    rows: list[NDArray[np.float64]] = []
    labels: list[str] = []
    for row in _FORMATS[path.suffix](read_text(path), path):
        if not row.fields:
            raise DataError(f"every series must have a value, but {path} has none in line {row.line}; leave it out")
        columns = range(row.first_column, row.first_column + len(row.fields))
        rows.append(parse_numbers(row.fields, path, row.line, columns))
        labels.append(parse_label(row.label, path, row.line))
        if len(rows[-1]) != len(rows[0]):
            raise DataError(
                f"all series must have the same length, but {path} has {len(rows[-1])} values in line {row.line} and "
                f"{len(rows[0])} in its first series; cut or resample them to one length"
            )
    if not rows:
        raise DataError(f"a file of series must hold some, but {path} holds none; get the file again")
    return Series(np.stack(rows), labels)


def _tsv_rows(text: str, path: Path) -> Iterator[_Row]:
    for number, line in numbered_lines(text):
        label, *fields = line.split("\t")
        yield _Row(number, label, fields, 2)


def _txt_rows(text: str, path: Path) -> Iterator[_Row]:
    for number, line in numbered_lines(text):
        label, *fields = line.split(",") if "," in line else line.split()
        yield _Row(number, label, fields, 2)


def _ts_rows(text: str, path: Path) -> Iterator[_Row]:
    in_data = False
    for number, line in numbered_lines(text):
        word, *words = line.split()
        if word.startswith("#"):
            continue
        if in_data:
            *dimensions, label = line.split(":")
            if len(dimensions) != 1:
                raise DataError(
                    f"a series must be one list of values, a colon and its label, but {path} has {len(dimensions)} "
                    f"lists in line {number}; use a univariate set with labels"
                )
            yield _Row(number, label, dimensions[0].split(","), 1)
        elif word.lower() == "@data":
            in_data = True
        else:
            _check_ts_header(word.lower(), words[0].lower() if words else "", path, number)
    if not in_data:
        raise DataError(f"a .ts file must have a line @data, but {path} has none; get the file again")


_TS_HEADERS: Mapping[str, str] = {"@timestamps": "false", "@univariate": "true", "@classlabel": "true"}


def _check_ts_header(key: str, value: str, path: Path, line: int) -> None:
    if not key.startswith("@"):
        raise DataError(
            f"a line before @data must begin with @ or #, but line {line} of {path} does not; get the file again"
        )
    if key in _TS_HEADERS and value != _TS_HEADERS[key]:
        raise DataError(
            f"{key} must be {_TS_HEADERS[key]}, but {path} says {value or 'nothing'} in line {line}; "
            "use a set of univariate series with labels and without time stamps"
        )


def _arff_rows(text: str, path: Path) -> Iterator[_Row]:
    num_attributes = 0
    in_data = False
    for number, line in numbered_lines(text):
        word = line.split()[0].lower()
        if word.startswith("%"):
            continue
        if in_data:
            *fields, label = _arff_fields(line, path, number)
            if len(fields) + 1 != num_attributes:
                raise DataError(
                    f"a row must have a value for each of the {num_attributes} attributes, but {path} has "
                    f"{len(fields) + 1} in line {number}; use a set of univariate series of equal length"
                )
            yield _Row(number, label, fields, 1)
        elif word == "@attribute":
            num_attributes += 1
        elif word == "@data":
            in_data = True
        elif word != "@relation":
            raise DataError(
                f"a line before @data must begin with @relation, @attribute or %, but line {number} of {path} does "
                "not; use a set of univariate series"
            )
    if not in_data:
        raise DataError(f"an .arff file must have a line @data, but {path} has none; get the file again")


def _arff_fields(line: str, path: Path, number: int) -> list[str]:
    try:
        return next(csv.reader([line], quotechar="'", skipinitialspace=True))
    except csv.Error as error:
        raise DataError(
            f"a row must be values with commas between them, but line {number} of {path} is not ({error}); "
            "get the file again"
        ) from error


_FORMATS: Mapping[str, Callable[[str, Path], Iterator[_Row]]] = {
    ".tsv": _tsv_rows,
    ".txt": _txt_rows,
    ".ts": _ts_rows,
    ".arff": _arff_rows,
}
