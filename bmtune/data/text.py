"""What all readers of text files share: lines, numbers and labels, and where in the file a mistake is."""

import math
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bmtune.errors import DataError

MISSING = ("", "?", "nan", "na", "n/a", "null", "none")
"""How files write a missing value, in small letters."""


def read_text(path: Path) -> str:
    """The text of a file, whatever ends its lines.

    A file that is not UTF-8 is read as Latin-1, which maps every byte to a character: old archives have
    such comments, and in a place that matters the number or label that cannot be read is named.

    Raises:
        DataError: The file is missing or unreadable.
    """
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: The file is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"a data file must be readable, but {path} is not ({reason}); check the path, which starts at {Path.cwd()}"
            if not path.is_absolute()
            else f"a data file must be readable, but {path} is not ({reason}); check the path"
        ) from error


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, each with its number, counted from 1."""
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def parse_numbers(fields: Sequence[str], path: Path, line: int, columns: Sequence[int]) -> NDArray[np.float64]:
    """The fields of one line as finite numbers.

    Args:
        fields: Their text.
        path: The file, for messages.
        line: Number of the line, counted from 1.
        columns: Number of each field's column in the file, counted from 1.

    Raises:
        DataError: A field is missing, no number, or not finite.
    """
    try:
        values = np.array([float(field) for field in fields], dtype=np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    index = next(index for index, field in enumerate(fields) if not _is_finite(field))
    field = fields[index].strip()
    place = f"{path}, line {line}, column {columns[index]}"
    if field.lower() in MISSING:
        raise DataError(f"every value must be given, but one is missing in {place}; fill it in, or leave the row out")
    raise DataError(
        f"every value must be a finite number, but got {_short(field)} in {place}; "
        "encode text and categories as numbers, or leave the row out"
    )


def parse_label(field: str, path: Path, line: int) -> str:
    """A label as text; a whole number is written without a point, so that `1.0000000e+00` is the class `1`.

    Raises:
        DataError: The label is missing.
    """
    label = field.strip()
    if label.lower() in MISSING:
        raise DataError(
            f"every row must have a label, but {path} has none in line {line}; label the row, or leave it out"
        )
    try:
        number = float(label)
    except ValueError:
        return label
    # Adding 0 turns -0.0 into 0.0.
    return format(number + 0.0, ".0f") if number.is_integer() else label


def _is_finite(field: str) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def _short(field: str) -> str:
    text = repr(field)
    return text if len(text) <= 40 else text[:37] + "..."
