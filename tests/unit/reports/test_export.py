import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from bmtune.reports.export import write_csv
from bmtune.reports.export import write_json
from bmtune.reports.export import write_parquet
from bmtune.reports.tables import Table
from bmtune.reports.tables import make_table

ODD = Table(
    ("trial", "value", "choice", "flag", "mixed", "text"),
    (
        (0, 0.1 + 0.2, [0.5, 0.9], True, 1, 'a "b",\nc'),
        (1, math.nan, [1], False, "x", "=1+1"),
        (2, math.inf, None, None, 2.5, None),
        (3, -math.inf, None, None, None, "<script>"),
        (4, None, None, True, None, ""),
    ),
)


def as_csv(table: Table) -> list[dict[str, str]]:
    file = io.StringIO()
    write_csv(table, file)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def as_json(table: Table) -> list[dict[str, Any]]:
    file = io.StringIO()
    write_json(table, file)
    return json.loads(file.getvalue(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_csv_tells_missing_values_from_those_that_are_not_finite():
    rows = as_csv(ODD)
    assert [row["value"] for row in rows] == ["0.30000000000000004", "nan", "inf", "-inf", ""]
    assert [row["choice"] for row in rows] == ["[0.5, 0.9]", "[1]", "", "", ""]
    assert [row["flag"] for row in rows] == ["true", "false", "", "", "true"]
    assert rows[0]["text"] == 'a "b",\nc'


def test_json_has_words_for_values_that_are_not_finite_and_null_for_missing_ones():
    rows = as_json(ODD)
    assert [row["value"] for row in rows] == [0.1 + 0.2, "NaN", "Infinity", "-Infinity", None]
    assert [row["choice"] for row in rows] == [[0.5, 0.9], [1], None, None, None]


def test_parquet_has_a_type_a_column_and_text_where_values_are_of_several_kinds(tmp_path: Path):
    write_parquet(ODD, tmp_path / "t.parquet")
    found = parquet.read_table(tmp_path / "t.parquet")
    assert [str(field.type) for field in found.schema] == ["int64", "double", "string", "bool", "string", "string"]
    values = found["value"].to_pylist()
    assert values[0] == 0.1 + 0.2
    assert math.isnan(values[1])
    assert values[2:] == [math.inf, -math.inf, None]
    assert found["mixed"].to_pylist() == ["1", '"x"', "2.5", None, None]


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_every_float_comes_back_bit_for_bit(values: list[float]):
    table = Table(("value",), tuple((value,) for value in values))
    assert [float(row["value"]) for row in as_csv(table)] == values
    assert [float(row["value"]) for row in as_json(table)] == values


def test_a_table_without_rows_is_whole(tmp_path: Path):
    empty = Table(("trial", "value"), ())
    assert as_csv(empty) == []
    assert as_json(empty) == []
    write_parquet(empty, tmp_path / "t.parquet")
    assert parquet.read_table(tmp_path / "t.parquet").num_rows == 0


def test_a_row_a_trial_and_a_row_an_epoch(recorded: Callable[..., Any], told: Callable[..., Any]):
    history = recorded(told((0.5, 0.25)), told((0.75,), status="failed", reason="burst")).history
    trials, epochs = make_table(history, "trials"), make_table(history, "epochs")
    one, other = (dict(zip(trials.columns, row, strict=True)) for row in trials.rows)
    assert (one["trial"], one["state"], one["rank"], one["value"], one["best_epoch"]) == (0, "completed", 1, 0.25, 2)
    assert (one["params.born.bond_dim"], one["metrics.acc"], one["seconds"]) == (6, 0.75, 4.0)
    assert (other["state"], other["reason"], other["rank"]) == ("failed", "burst", None)
    assert [row[:4] for row in epochs.rows] == [(0, "pre", 1, 1), (0, "pre", 2, 2), (1, "pre", 1, 1)]
    assert dict(zip(epochs.columns, epochs.rows[1], strict=True))["metrics.train/loss"] == 0.5
