import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.disk_space import Patience
from bmtune.errors import FormatError
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.records import to_line

HEADER = RunStarted(
    run="a",
    trainer="gan",
    dataset="moons",
    data_hash="0",
    objective=Objective(metric="fid", mode="min"),
    trials=3,
    max_epochs=9,
    seed=1,
    bmtune="0.1.0",
    time=1.5,
)
EPOCH = Epoch(
    trial=0,
    phase="gan",
    epoch=1,
    budget=1,
    metrics={"fid": math.inf, "acc": -math.inf, "loss": 0.1},
    seconds=0.5,
    eligible=True,
)
EVERY_KIND: list[Record] = [
    HEADER,
    TrialStarted(trial=0, params={"a.b": 1.0, "c": 2, "d": [1, 2.5], "e": "x", "f": True}, seed=7, time=2.0),
    EPOCH,
    Rung(trial=0, rung=3, value=None, decision="stop"),
    TrialPromoted(trial=0, rung=3, time=2.5),
    CheckpointWritten(trial=0, which="best", budget=1, path="checkpoints/trial-00000/best"),
    TrialFinished(trial=0, status="failed", reason="x", error="Traceback\n  line", time=3.0),
    Notice(text="a sentence"),
    PretrainingShared(trial=0, key="ab", from_run="b", from_trial=3, epochs=2, metrics={"start/fid": math.inf}),
    RunFinished(reason="done", best=None, time=4.0),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def write(path: Path, records: list[Record]) -> None:
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)


def test_every_kind_of_record_comes_back_equal(path: Path) -> None:
    write(path, EVERY_KIND)
    assert list(read_records(path).records) == EVERY_KIND


def test_nan_comes_back_as_nan(path: Path) -> None:
    write(path, [HEADER, EPOCH.model_copy(update={"metrics": {"loss": math.nan}})])
    last = read_records(path).records[-1]
    assert isinstance(last, Epoch)
    assert math.isnan(last.metrics["loss"])


def test_numbers_keep_their_type(path: Path) -> None:
    write(path, EVERY_KIND[:2])
    started = read_records(path).records[1]
    assert isinstance(started, TrialStarted)
    assert [type(value) for value in started.params.values()] == [float, int, list, str, bool]


def test_a_torn_tail_is_left_out_with_a_notice(path: Path) -> None:
    write(path, EVERY_KIND)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(to_line(EPOCH)[:-10])
    read = read_records(path)
    assert list(read.records) == EVERY_KIND
    assert read.size == whole
    assert read.notice is not None
    assert "cut off" in read.notice


def test_a_whole_file_gives_no_notice(path: Path) -> None:
    write(path, EVERY_KIND)
    assert read_records(path).notice is None


def test_damage_in_the_middle_names_the_line(path: Path) -> None:
    write(path, EVERY_KIND)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"gan", b"gam")
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(FormatError, match=r"line 3 .*checksum"):
        read_records(path)


def test_a_line_that_is_no_record_names_the_line(path: Path) -> None:
    write(path, EVERY_KIND[:2])
    with path.open("ab") as file:
        file.write(b"hello\n")
    with pytest.raises(FormatError, match="line 3"):
        read_records(path)


def test_another_version_is_named(path: Path) -> None:
    path.write_bytes(to_line(HEADER).replace(b'"version":4', b'"version":7'))
    with pytest.raises(FormatError, match="bmtune.records version 7"):
        read_records(path)


def test_the_version_before_pauses_and_shared_pretraining_is_read(path: Path) -> None:
    old = HEADER.model_copy(update={"version": 1})
    write(path, [old, EPOCH])
    assert list(read_records(path).records) == [old, EPOCH]


def test_a_file_that_begins_with_another_record_is_refused(path: Path) -> None:
    path.write_bytes(to_line(EPOCH))
    with pytest.raises(FormatError, match="bmtune.records version 1 or 2 or 3"):
        read_records(path)


def test_a_missing_file_is_one_clean_error(path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        read_records(path)


def test_a_second_writer_appends(path: Path) -> None:
    write(path, EVERY_KIND[:2])
    write(path, EVERY_KIND[2:])
    assert list(read_records(path).records) == EVERY_KIND


def test_the_disk_is_asked_at_most_every_second_and_on_demand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, synced = [0.0], list[float]()
    monkeypatch.setattr("os.fsync", lambda _: synced.append(now[0]))
    writer = RecordWriter(path, sync_every_s=1.0, clock=lambda: now[0])
    for now[0] in (0.1, 0.5, 0.9, 1.0, 1.2, 2.1):
        writer.write(HEADER)
    assert synced == [1.0, 2.1]
    writer.sync()
    assert synced == [1.0, 2.1, 2.1]
    writer.close()


class FullDisk:
    """A file on a disk with so much room; stands in for the operating system's."""

    def __init__(self, path: Path, room: int) -> None:
        self._real = path.open("ab", buffering=0)
        self.room = room
        self.refused = 0

    def write(self, content: bytes) -> int:
        taken = self._real.write(bytes(content)[: self.room])
        if content and not taken:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= taken
        return taken

    def truncate(self, size: int) -> int:
        self.room += os.fstat(self._real.fileno()).st_size - size
        return self._real.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], FullDisk]:
    """The records' file on a disk with so much room."""

    def make(room: int) -> FullDisk:
        disk, really = FullDisk(path, room), Path.open

        def opened(file: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            return disk if mode == "ab" else really(file, mode, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)
        return disk

    return make


def test_what_a_full_disk_took_of_a_record_is_cut_off_again(path: Path, full_disk: Callable[[int], FullDisk]) -> None:
    disk = full_disk(len(to_line(HEADER)) + 10)
    writer = RecordWriter(path)
    writer.write(HEADER)
    with pytest.raises(OSError, match="No space left"):
        writer.write(EPOCH)
    assert disk.refused == 1
    assert path.read_bytes() == to_line(HEADER)
    disk.room = 10_000
    writer.write(EPOCH)
    writer.close()
    assert path.read_bytes() == to_line(HEADER) + to_line(EPOCH)


def test_a_search_whose_disk_is_full_waits_says_so_once_and_loses_nothing(
    path: Path, full_disk: Callable[[int], FullDisk]
) -> None:
    disk, told = full_disk(len(to_line(HEADER)) + 10), list[str]()

    def rest(seconds: float) -> None:
        # Nobody who reads meanwhile meets half a line.
        assert path.read_bytes() == to_line(HEADER)
        disk.room += 40

    with RecordWriter(path, patience=Patience(told.append, rest)) as writer:
        for record in EVERY_KIND:
            if record is EVERY_KIND[2]:
                disk.room = 10_000
            writer.write(record)
    assert disk.refused > 2
    assert list(read_records(path).records) == EVERY_KIND
    assert len(told) == 2
    assert told[0].startswith(f"the disk is full: records.jsonl cannot be written in {path.parent} (")
    assert "free" in told[0]
    assert told[1].startswith("there is room again")


def test_waiting_for_room_can_be_interrupted(path: Path, full_disk: Callable[[int], FullDisk]) -> None:
    disk = full_disk(10)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    writer = RecordWriter(path, patience=Patience(lambda text: None, interrupted))
    with pytest.raises(KeyboardInterrupt):
        writer.write(HEADER)
    assert disk.refused == 1
    assert path.read_bytes() == b""
    writer.close()


def test_what_the_disk_refused_only_when_asked_to_keep_it_is_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def full_at_second(descriptor: int) -> None:
        asked.append(path.stat().st_size)
        if len(asked) == 2:
            # Such a disk may drop what it had taken before.
            os.ftruncate(descriptor, len(to_line(HEADER)) + 5)
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.fsync", full_at_second)
    with RecordWriter(path, sync_every_s=1000.0, patience=Patience(lambda text: None, lambda seconds: None)) as writer:
        writer.write(HEADER)
        writer.sync()
        for record in EVERY_KIND[1:]:
            writer.write(record)
    assert len(asked) == 3
    assert list(read_records(path).records) == EVERY_KIND
