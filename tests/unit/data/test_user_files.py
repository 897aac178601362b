import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from bmtune.data import load_table
from bmtune.errors import DataError


def csv(tmp_path: Path, text: str, name: str = "rows.csv") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_header_names_the_columns_and_label_is_the_one_so_called_or_the_last(tmp_path: Path):
    path = csv(tmp_path, "width,label,height\n1,cat,2.5\n3,dog,-4e1\n")
    table = load_table(path)
    assert table.x.tolist() == [[1, 2.5], [3, -40]]
    assert (table.feature_names, table.class_names, table.y.tolist()) == (("width", "height"), ("cat", "dog"), [0, 1])
    assert table.test_rows is None
    last = load_table(csv(tmp_path, "width,height,kind\n1,2,b\n3,4,a\n"))
    assert (last.feature_names, last.class_names, last.y.tolist()) == (("width", "height"), ("a", "b"), [1, 0])


def test_a_label_column_can_be_named(tmp_path: Path):
    path = csv(tmp_path, "kind,width,label\n-1,2,3\n1,4,5\n")
    table = load_table(path, label="kind")
    assert (table.x.tolist(), table.class_names) == ([[2, 3], [4, 5]], ("-1", "1"))
    with pytest.raises(DataError, match=r"has no 'kinds' \(data.label\); did you mean 'kind'"):
        load_table(path, label="kinds")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "1,2,a\n3,4,b\n"),
        ("rows.csv", "1;2;a\r\n3;4;b\r\n"),
        ("rows.csv", '\ufeff"1","2","a"\n\n"3","4","b"'),
        ("rows.tsv", "1\t2\ta\n3\t4\tb\n"),
        ("ROWS.TSV", "0\t1\tlabel\n1\t2\ta\n3\t4\tb\n"),
    ],
)
def test_separators_quotes_and_missing_headers(tmp_path: Path, name: str, text: str):
    table = load_table(csv(tmp_path, text, name))
    assert table.x.tolist() == [[1, 2], [3, 4]]
    assert table.class_names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,label\n1,2,x\n3,four,y\n", "got 'four' in .*rows.csv, line 3, column 2"),
        ("a,label,b\n1,x,2\n3,y,\n", "one is missing in .*rows.csv, line 3, column 3"),
        ("a,b,label\n1,2,x\n3,inf,y\n", "got 'inf' in .*line 3, column 2"),
        ("a,b,label\n\n1,2,x\n3,4\n", "has 2 in line 4; mend"),
        ("a,b,label\n1,2,x\n3,4,\n", "has none in line 3; label"),
        ('a,b,label\n1,"2,x\n', "line 3 of .*rows.csv is not"),
        ("a,label,label\n1,x,x\n", "has 2 called 'label'"),
        ("a,b,label\n", "has only a line of names"),
        ("", "is empty"),
        ("a b\n1 2\n", "has 1; separate the columns"),
        ("a,label\n1,x\n2,x\n", "at least 2 classes, but .*rows.csv has only x"),
    ],
)
def test_an_unfit_file_is_refused_with_file_line_and_column(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError, match=message) as caught:
        load_table(csv(tmp_path, text))
    assert "rows.csv" in str(caught.value)


def test_a_line_is_counted_behind_a_field_of_several_lines(tmp_path: Path):
    with pytest.raises(DataError, match="line 4, column 1"):
        load_table(csv(tmp_path, 'a,label\n1,"x\ny"\nz,w\n'))


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "none.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    with pytest.raises(DataError, match=f"{tmp_path}/{name} is not .No such file"):
        load_table(str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"the path, which starts at {tmp_path}"):
        load_table(name)
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        load_table(name)


@pytest.mark.parametrize("key", ["x", "X"])
def test_an_npz_file_gives_its_arrays(tmp_path: Path, key: str):
    path = tmp_path / "rows.npz"
    np.savez(path, **{key: np.array([[1, 2], [3, 4]], dtype=np.uint8), "y": np.array(["b", "a"])})
    table = load_table(str(path))
    assert table.x.tolist() == [[1, 2], [3, 4]]
    assert (table.class_names, table.y.tolist()) == (("a", "b"), [1, 0])


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("an object was unpickled",))


def test_nothing_is_unpickled(tmp_path: Path):
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.eye(2), y=np.array([Bomb(), Bomb()], dtype=object))
    with pytest.raises(DataError, match="must be readable"):
        load_table(str(path))
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="what numpy.savez writes"):
        load_table(str(path))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.eye(2)}, "has x and no y"),
        ({"z": np.eye(2), "y": [0, 1]}, "has z, y and no x or X"),
        ({"x": np.eye(3), "y": [0, 1]}, "3 rows and 2 labels"),
        ({"x": np.eye(2), "y": np.eye(2)}, "must be a vector"),
        ({"x": [["a"], ["b"]], "y": [0, 1]}, "holds <U1"),
        ({"x": np.array([[np.nan], [1]]), "y": [0, 1]}, "row 0, column 0"),
    ],
)
def test_unfit_arrays_are_refused(tmp_path: Path, arrays, message: str):
    path = tmp_path / "rows.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        load_table(str(path))


def test_a_damaged_npz_file_is_refused(tmp_path: Path):
    path = tmp_path / "rows.npz"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY nonsense")
        archive.writestr("y.npy", b"")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="must be readable"):
        load_table(str(path))


def write_parquet(tmp_path: Path, **columns) -> str:
    path = tmp_path / "size=3" / "rows.parquet"
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def test_a_parquet_file_gives_its_columns(tmp_path: Path):
    path = write_parquet(tmp_path, width=[1, 3], label=["dog", "cat"], height=[0.5, 2.0], long=[True, False])
    table = load_table(path)
    assert table.x.tolist() == [[1, 0.5, 1], [3, 2, 0]]
    assert (table.feature_names, table.class_names, table.y.tolist()) == (
        ("width", "height", "long"),
        ("cat", "dog"),
        [1, 0],
    )
    named = load_table(write_parquet(tmp_path, kind=[1.0, 2.0], width=[3, 4]), label="kind")
    assert (named.x.tolist(), named.class_names) == ([[3], [4]], ("1", "2"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": ["x", "y"], "label": [0, 1]}, "column 'a' of .*rows.parquet holds string"),
        ({"a": [1.0, None], "label": [0, 1]}, "1 missing in column 'a', the first in row 2"),
        ({"a": [1.0, 2.0], "label": [None, 1]}, "1 missing in column 'label', the first in row 1"),
        ({"a": [1.0, float("inf")], "label": [0, 1]}, "got inf in .*rows.parquet, row 2, column 'a'"),
        ({"label": [0, 1]}, "has 1; separate"),
    ],
)
def test_unfit_columns_are_refused(tmp_path: Path, columns, message: str):
    with pytest.raises(DataError, match=message):
        load_table(write_parquet(tmp_path, **columns))


def test_a_damaged_parquet_file_is_refused(tmp_path: Path):
    path = Path(write_parquet(tmp_path, a=[1], label=[2]))
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match="a .parquet file must be readable"):
        load_table(str(path))
