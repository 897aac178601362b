import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from bmtune.data import Table
from bmtune.data import load_table
from bmtune.errors import DataError

quick = settings(max_examples=150, deadline=None)

SYMBOLS = "12?,;:\t \n\r'\"@#%{}()\0é"
WORDS = ["nan", "-3e4", "1e999", "label", "@data\n", "@attribute x numeric\n", "@relation r\n", "@univariate true\n"]
LINES = ["1,2,3:1\n", "1,2,4:2\n", "1\t2\t3\n", "2\t2\t4\n", "1 2 3\n", "5,6,1\n", "7,8,2\n"]
pieces = st.sampled_from([*SYMBOLS, *WORDS, *LINES])
texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=25).map("".join)

GOOD = {
    ".csv": "a,b,label\n1,2,x\n3,4,y\n",
    ".tsv": "1\t0.5\t1\n2\t2\t3\n",
    ".ts": "#c\n@timeStamps false\n@univariate true\n@classLabel true 1 2\n@data\n0.5,1:1\n2,3:2\n",
    ".txt": "1.0e+00  0.5 1\n 2 2 3\n",
    ".arff": "%c\n@relation A\n@attribute a numeric\n@attribute t {1,2}\n@data\n0.5,1\n2,2\n",
}


def table_or_data_error(load: Callable[[], Table]) -> None:
    message = ""
    try:
        table = load()
    except DataError as error:
        message = str(error)
    else:
        assert len(table.x) == len(table.y) > 0
    assert "\n" not in message


def read(suffix: str, train: bytes, test: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if suffix in (".csv", ".tsv"):
            (folder / f"rows{suffix}").write_bytes(train)
            table_or_data_error(lambda: load_table(str(folder / f"rows{suffix}")))
        if suffix != ".csv":
            (folder / f"A_TRAIN{suffix}").write_bytes(train)
            (folder / f"A_TEST{suffix}").write_bytes(test)
            table_or_data_error(lambda: load_table("ucr/A", root=folder))


@quick
@given(st.sampled_from(list(GOOD)), texts, st.sampled_from(["utf-8", "utf-16"]))
def test_any_text_gives_a_table_or_a_data_error(suffix: str, text: str, encoding: str):
    content = text.encode(encoding, "surrogatepass")
    read(suffix, content, content)


@quick
@given(st.sampled_from(list(GOOD)), st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2)), max_size=3))
def test_a_good_file_with_bytes_replaced_gives_a_table_or_a_data_error(suffix: str, changes: list[tuple[int, bytes]]):
    good = GOOD[suffix].encode()
    changed = good
    for position, piece in changes:
        at = position % len(good)
        changed = changed[:at] + piece + changed[at + 1 :]
    read(suffix, changed, good)


def test_the_good_files_are_good():
    for suffix, text in GOOD.items():
        with tempfile.TemporaryDirectory() as name:
            for split in ("TRAIN", "TEST"):
                (Path(name) / f"A_{split}{suffix}").write_text(text)
            (Path(name) / "rows.csv").write_text(GOOD[".csv"])
            table = load_table(str(Path(name) / "rows.csv")) if suffix == ".csv" else load_table("ucr/A", root=name)
            assert table.x.dtype.kind == "f"
