"""Whatever an NPZ or a Parquet file holds: a table, or one clean error of one line; nothing in it is ever run."""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import parquet

from bmtune.data import load_table
from bmtune.errors import DataError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
EXAMPLES = 60
quick = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)

DTYPES = st.one_of(
    arrays.scalar_dtypes(),
    st.sampled_from([np.dtype([("a", "f8")]), np.dtype("U3"), np.dtype("S2"), np.dtype("M8[s]")]),
)
SAVES = st.sampled_from([np.savez, np.savez_compressed])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
changes = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=2), st.integers(0, 3)), min_size=1, max_size=3)


def read(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"rows{suffix}")
        path.write_bytes(content)
        message = "a table came out"
        try:
            table = load_table(str(path))
        except DataError as error:
            message = str(error)
        else:
            assert len(table.x) == len(table.y) > 0
            assert len(table.class_names) > 1
    assert message.isprintable()
    assert len(message) > 10


def changed(content: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for position, piece, dropped in edits:
        at = position % (len(content) + 1)
        content = content[:at] + piece + content[at + dropped :]
    return content


def npz(save: Callable[..., None], **named: Any) -> bytes:
    file = io.BytesIO()
    save(file, **named)
    return file.getvalue()


def parquet_bytes(table: pyarrow.Table) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()


GOOD = {"x": np.arange(12.0).reshape(6, 2), "y": np.arange(6) % 2}
GOOD_NPZ = [npz(np.savez, **GOOD), npz(np.savez_compressed, **GOOD)]
GOOD_TABLE = pyarrow.table({"a": [1.0, 2.0, 3.0, 4.0], "label": ["x", "y", "x", "y"]})


class Trap:
    """An object whose unpickling would leave a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.place), "w")


def test_a_pickle_in_an_npz_file_is_not_run(tmp_path: Path) -> None:
    trap = np.empty(4, dtype=object)
    trap[:] = [Trap(tmp_path / "sprung") for _ in range(4)]
    (tmp_path / "rows.npz").write_bytes(npz(np.savez, x=GOOD["x"][:4], y=trap))
    with pytest.raises(DataError, match="allow_pickle"):
        load_table(str(tmp_path / "rows.npz"))
    assert not (tmp_path / "sprung").exists()


@quick
@given(st.data())
def test_any_arrays(data: st.DataObject) -> None:
    x, y = (data.draw(arrays.arrays(data.draw(DTYPES), data.draw(SHAPES))) for _ in range(2))
    names = data.draw(st.sampled_from([("x", "y"), ("X", "y"), ("x", "z"), ("a/../b", "y")]))
    read(npz(data.draw(SAVES), **dict(zip(names, (x, y), strict=True))), ".npz")


@quick
@given(st.sampled_from(GOOD_NPZ), changes)
def test_an_npz_file_with_bytes_replaced(content: bytes, edits: list[tuple[int, bytes, int]]) -> None:
    read(changed(content, edits), ".npz")


@quick
@given(st.sampled_from([".npz", ".parquet"]), st.binary(max_size=60))
def test_any_bytes(suffix: str, content: bytes) -> None:
    read(content, suffix)
    read(b"PAR1" + content + b"PAR1", suffix)


@quick
@given(changes)
def test_a_parquet_file_with_bytes_replaced(edits: list[tuple[int, bytes, int]]) -> None:
    read(changed(parquet_bytes(GOOD_TABLE), edits), ".parquet")


COLUMNS = st.sampled_from(
    [
        [1, 2, 3, None],
        [1.0, float("nan"), float("inf"), 2.0],
        ["a", "b", "a\x1b[2J", "\u202e"],
        [b"\xff", b"a", b"b", b"c"],
        [[1], [2, 3], [], None],
        [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}],
        [True, False, True, False],
        [2**63 - 1, -(2**63), 0, 1],
        [0.5, 1.5, 2.5, 3.5],
        pyarrow.array([0, 1, 2, 2**62], pyarrow.timestamp("ns")),
        pyarrow.array([0, 1, 2, 3], pyarrow.date32()),
        pyarrow.array(["a", "b", "a", "b"]).dictionary_encode(),
        pyarrow.nulls(4),
        pyarrow.array([1, 2, 3, 4], pyarrow.decimal256(76)),
    ]
)


@quick
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "label", "", "\x1b", "\n"]), COLUMNS), max_size=4))
def test_any_columns(columns: list[tuple[str, Any]]) -> None:
    made = [pyarrow.array(values) if isinstance(values, list) else values for _, values in columns]
    read(parquet_bytes(pyarrow.Table.from_arrays(made, names=[name for name, _ in columns])), ".parquet")


def test_the_good_files_are_good(tmp_path: Path) -> None:
    for number, content in enumerate([*GOOD_NPZ, parquet_bytes(GOOD_TABLE)]):
        path = tmp_path / f"{number}{'.parquet' if content[:4] == b'PAR1' else '.npz'}"
        path.write_bytes(content)
        assert len(load_table(str(path)).y) in (4, 6)
