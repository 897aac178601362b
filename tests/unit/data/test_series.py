from pathlib import Path

import numpy as np
import pytest

from bmtune.config.data import DataConfig
from bmtune.data import DataHandler
from bmtune.data import load_table
from bmtune.errors import DataError

ROWS = [("1", "0.5", "-1e-3", "2"), ("2", "1", "0", "-7"), ("1", "3", "4", "5"), ("2", "6", "8", "0.25")]
TS = "#a comment\n@problemName A\n@timeStamps false\n@missing false\n@univariate true\n@classLabel true 1 2\n@data\n"
ARFF = "% a comment\n@relation A\n" + "@attribute t numeric\n" * 3 + "@attribute target {1,2}\n\n@data\n"


def text(suffix: str, rows=ROWS) -> str:
    lines = {
        ".tsv": ["\t".join(row) for row in rows],
        ".txt": ["  " + "   ".join(row) for row in rows],
        ".ts": [",".join(row[1:]) + ":" + row[0] for row in rows],
        ".arff": [",".join((*row[1:], row[0])) for row in rows],
    }
    return {".ts": TS, ".arff": ARFF}.get(suffix, "") + "\n".join(lines[suffix]) + "\n"


def write(root: Path, suffix: str, train: str, test: str | None = None) -> Path:
    folder = root / "ucr"
    folder.mkdir(exist_ok=True)
    (folder / f"A_TRAIN{suffix}").write_text(train)
    (folder / f"A_TEST{suffix}").write_text(text(suffix) if test is None else test)
    return root


SUFFIXES = [".tsv", ".ts", ".txt", ".arff"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str):
    table = load_table("ucr/A", root=write(tmp_path, suffix, text(suffix), text(suffix, ROWS[::-1])))
    values = np.array([row[1:] for row in (*ROWS, *ROWS[::-1])], dtype=float)
    assert np.array_equal(table.x, values)
    assert table.y.tolist() == [0, 1, 0, 1, 1, 0, 1, 0]
    assert (table.name, table.class_names, table.kind) == ("ucr/A", ("1", "2"), "series")
    assert table.test_rows.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("-1", "1"), ("-1", "1")),
        (("0", "1"), ("0", "1")),
        (("1.0000000e+00", "10"), ("1", "10")),
        (("sit", "stand"), ("sit", "stand")),
    ],
)
def test_labels_of_any_kind_are_encoded(tmp_path: Path, suffix: str, labels, names):
    rows = [(labels[int(row[0]) - 1], *row[1:]) for row in ROWS]
    table = load_table("ucr/A", root=write(tmp_path, suffix, text(suffix, rows), text(suffix, rows)))
    assert table.class_names == names
    assert table.y.tolist() == [0, 1, 0, 1] * 2


def test_lines_may_end_as_on_other_systems_and_old_comments_may_be_latin(tmp_path: Path):
    root = write(tmp_path, ".ts", text(".ts"))
    (root / "ucr/A_TRAIN.ts").write_bytes(
        text(".ts").replace("a comment", "é").encode("latin-1").replace(b"\n", b"\r\n")
    )
    assert load_table("ucr/A", root=root).x.shape == (8, 3)


LINES = {".tsv": 2, ".txt": 2, ".ts": 9, ".arff": 10}
"""The line of the second series."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("?", "one is missing in"),
        ("NaN", "one is missing in"),
        ("abc", "must be a finite number, but got 'abc'"),
        ("inf", "finite number"),
    ],
)
def test_a_missing_or_unreadable_value_is_located(tmp_path: Path, suffix: str, field: str, message: str):
    rows = [ROWS[0], ("2", "1", field, "-7"), *ROWS[2:]]
    with pytest.raises(DataError, match=message) as caught:
        load_table("ucr/A", root=write(tmp_path, suffix, text(suffix, rows)))
    column = 3 if suffix in (".tsv", ".txt") else 2
    assert f"A_TRAIN{suffix}, line {LINES[suffix]}, column {column}" in str(caught.value)


@pytest.mark.parametrize("suffix", [".tsv", ".txt", ".ts"])
def test_series_of_unequal_length_are_refused(tmp_path: Path, suffix: str):
    rows = [ROWS[0], ROWS[1][:-1], *ROWS[2:]]
    with pytest.raises(DataError, match=f"has 2 values in line {LINES[suffix]} and 3 in its first series"):
        load_table("ucr/A", root=write(tmp_path, suffix, text(suffix, rows)))
    shorter = text(suffix, [row[:-1] for row in ROWS])
    with pytest.raises(DataError, match="has 3 values a series and .*A_TEST.* 2; cut"):
        load_table("ucr/A", root=write(tmp_path, suffix, text(suffix), shorter))


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".tsv", "", "holds none"),
        (".tsv", "1\n2\n", "has none in line 1"),
        (".tsv", "\t1\t2\n", "has none in line 1; label the row"),
        (".ts", TS.replace("@data", ""), "no such line|must have a line @data"),
        (
            ".ts",
            TS.replace("univariate true", "univariate false"),
            "@univariate must be true, but .* says false in line 5",
        ),
        (".ts", TS.replace("timeStamps false", "timeStamps true"), "@timestamps must be false"),
        (".ts", TS.replace("classLabel true 1 2", "classLabel"), "@classlabel must be true, but .* says nothing"),
        (".ts", TS + "1,2,3\n", "has 0 lists in line 8"),
        (".ts", TS + "1,2:3,4:1\n", "has 2 lists in line 8"),
        (".ts", "1,2:1\n", "must begin with @ or #, but line 1"),
        (".arff", ARFF + "1,2,1\n", "each of the 4 attributes, but .* has 3 in line 9"),
        (".arff", ARFF + "{0 1}\n", "has 1 in line 9"),
        (".arff", "@relation x\nend\n", "line 2 of .* does not"),
        (".arff", "@relation x\n", "must have a line @data"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, suffix: str, content: str, message: str):
    with pytest.raises(DataError, match=message) as caught:
        load_table("ucr/A", root=write(tmp_path, suffix, content))
    assert "A_TRAIN" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named_with_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BMTUNE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"but {tmp_path}/ucr has no Foo_TRAIN and Foo_TEST that end in .tsv or .ts"):
        load_table("ucr/Foo")


def test_a_class_needs_two_training_rows_and_a_test_row(tmp_path: Path):
    def load(train, test):
        root = write(tmp_path, ".tsv", text(".tsv", train), text(".tsv", test))
        return DataHandler(DataConfig(dataset="ucr/A", root=str(root)), (0.0, 1.0))

    data = load(ROWS, ROWS[:2])
    assert {name: len(split.y) for name, split in data.splits.items()} == {"train": 2, "valid": 2, "test": 2}
    with pytest.raises(DataError, match="at least 2 training rows, .* but class '2' has 1"):
        load(ROWS[:3], ROWS)
    with pytest.raises(DataError, match="1 row in its official test split, but class '2' has 0"):
        load(ROWS, ROWS[:1])


def test_validation_comes_from_the_training_file_and_test_is_the_test_file(tmp_path: Path):
    train = [(str(row % 2), str(row), "0") for row in range(40)]
    test = [(str(row % 2), str(100 + row), "0") for row in range(10)]
    root = write(tmp_path, ".txt", text(".txt", train), text(".txt", test))
    configs = [
        DataConfig(dataset="ucr/A", root=str(root), test_fraction=share, valid_fraction=0.2) for share in (0.1, 0.7)
    ]
    one, other = (DataHandler(config, (0.0, 1.0)) for config in configs)
    assert [len(one.splits[name].y) for name in ("train", "valid", "test")] == [32, 8, 10]
    assert one.splits["valid"].x.equal(other.splits["valid"].x)
    assert (one.splits["test"].x[:, 0] == 1).all()
    assert one.clipped["test"] == 10
