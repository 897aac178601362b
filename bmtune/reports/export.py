"""Tables as CSV, JSON and Parquet, with every number as it was recorded.

A missing value is an empty cell, a null, or a null of Parquet. A number that is not finite is not missing: it is `nan`,
`inf` or `-inf` in CSV, the text `NaN`, `Infinity` or `-Infinity` in JSON, which has no word for it (as in the records),
and itself in Parquet.
"""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from typing import TYPE_CHECKING

from pydantic import JsonValue

from bmtune.reports.tables import Table

if TYPE_CHECKING:
    import pyarrow


def write_csv(table: Table, file: IO[str]) -> None:
    """Writes one line of names and one a row; lists are JSON text, and floats have as many digits as they need."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_csv_cell(value) for value in row] for row in table.rows)


def _csv_cell(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value)


def write_json(table: Table, file: IO[str]) -> None:
    """Writes a list with one object a row, each on a line of its own."""
    file.write("[")
    for position, row in enumerate(table.rows):
        file.write(",\n " if position else "\n ")
        cells = {name: _json_cell(value) for name, value in zip(table.columns, row, strict=True)}
        file.write(json.dumps(cells, allow_nan=False))
    file.write("\n]\n" if table.rows else "]\n")


def _json_cell(value: JsonValue) -> JsonValue:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def write_parquet(table: Table, path: Path) -> None:
    """Writes a Parquet file.

    A column holds whole numbers, floats, truth values or text; one whose values are lists, or of several kinds, holds
    their JSON text.

    Raises:
        OSError: The file cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    columns = [_arrow_column([row[place] for row in table.rows]) for place in range(len(table.columns))]
    parquet.write_table(pyarrow.Table.from_arrays(columns, names=list(table.columns)), path)


def _arrow_column(values: Sequence[JsonValue]) -> "pyarrow.Array":
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        numbers = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
        return pyarrow.array(numbers, type=pyarrow.float64(), from_pandas=False)
    for kind, arrow in ((int, pyarrow.int64()), (bool, pyarrow.bool_()), (str, pyarrow.string())):
        if kinds <= {kind}:
            return pyarrow.array(values, type=arrow)
    texts = [None if value is None else json.dumps(_json_cell(value)) for value in values]
    return pyarrow.array(texts, type=pyarrow.string())
