"""Records as lines of a file: written one by one, read as a whole, and cut where the last one is torn."""

import json
import os
import re
import time
import zlib
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated
from typing import Self

from pydantic import BaseModel
from pydantic import Field
from pydantic import TypeAdapter
from pydantic import ValidationError

from bmtune.disk_space import Patience
from bmtune.errors import FormatError
from bmtune.line_file import LineFile
from bmtune.records.kinds import FORMAT
from bmtune.records.kinds import READABLE
from bmtune.records.kinds import Record
from bmtune.records.kinds import RunFinished
from bmtune.records.kinds import RunStarted

_FRAME = re.compile(rb'\{"crc":"([0-9a-f]{8})","record":(.*)\}', re.DOTALL)
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def to_line(record: BaseModel) -> bytes:
    """The line of one record, of whatever kind: `{"crc": "89abcdef", "record": {...}}` and a newline."""
    body = record.model_dump_json().encode()
    return b'{"crc":"%08x","record":%s}\n' % (zlib.crc32(body), body)


def from_line(line: bytes) -> Record:
    """Raises ValueError for a line that is not what `to_line` wrote."""
    return _RECORD.validate_json(body_of(line))


def body_of(line: bytes) -> bytes:
    """The JSON of the record in a line; raises ValueError for one that is not what `to_line` wrote."""
    framed = _FRAME.fullmatch(line)
    if framed is None:
        raise ValueError("it is not a record")
    checksum, body = framed.groups()
    if int(checksum, 16) != zlib.crc32(body):
        raise ValueError("its checksum does not match")
    return bytes(body)


@dataclass(frozen=True)
class Damage:
    """A line that is whole and no record.

    Attributes:
        number: The line, counted from 1.
        reason: What is wrong with it, in words.
    """

    number: int
    reason: str


@dataclass(frozen=True)
class LinesRead:
    """What `read_lines` found.

    Attributes:
        lines: Every whole line, in order.
        size: Bytes that they take in the file; whatever follows is a torn tail.
        notice: One sentence about a torn tail that was left out, or None.
    """

    lines: tuple[Record | Damage, ...]
    size: int
    notice: str | None


@dataclass(frozen=True)
class RecordsRead:
    """What `read_records` found.

    Attributes:
        records: Every whole record, in order.
        size: Bytes that they take in the file; whatever follows is a torn tail.
        notice: One sentence about a torn tail that was dropped, or None.
    """

    records: tuple[Record, ...]
    size: int
    notice: str | None


def read_lines(path: Path) -> LinesRead:
    """Reads a records file whose lines may be damaged, except for the first.

    Raises:
        FormatError: The file is missing, of another format or version, or its first line is damaged.
    """
    content = _content(path)
    *whole, tail = content.split(b"\n")
    if whole:
        _check_format(whole[0], path)
    lines = tuple(_read(number, line) for number, line in enumerate(whole, start=1))
    notice = f"{path}: the last line was cut off after {len(tail)} bytes and is left out" if tail else None
    return LinesRead(lines, len(content) - len(tail), notice)


def read_records(path: Path) -> RecordsRead:
    """Reads a records file.

    Raises:
        FormatError: The file is missing, of another format or version, or damaged before its last line.
    """
    read = read_lines(path)
    records: list[Record] = []
    for line in read.lines:
        if isinstance(line, Damage):
            raise FormatError(f"{damaged(path, line)}; `bmtune doctor {path.parent} --repair` keeps what can be kept")
        records.append(line)
    return RecordsRead(tuple(records), read.size, read.notice)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"a run must have a readable records file, but {path} is not: {error.strerror}") from error


def _read(number: int, line: bytes) -> Record | Damage:
    try:
        return from_line(line)
    except ValidationError as error:
        return Damage(number, error.errors()[0]["msg"])
    except ValueError as error:
        return Damage(number, str(error))


def damaged(path: Path, damage: Damage) -> str:
    """The rule that a damaged line breaks; the way out is for the caller to add."""
    return (
        f"every line of a records file must be whole, but line {damage.number} of {path} is damaged ({damage.reason})"
    )


@dataclass(frozen=True)
class Glance:
    """What can be told of a run without reading all of its records.

    Attributes:
        header: The first record; None where not even that is whole.
        num_started: Trials that were started.
        end: The last record, where it says that the search ended.
    """

    header: RunStarted | None
    num_started: int
    end: RunFinished | None


_START = re.compile(rb'\{"crc":"[0-9a-f]{8}","record":\{"kind":"trial_started",')


def glance(path: Path) -> Glance:
    """Looks at a records file that need not be there.

    Raises:
        FormatError: It cannot be read, has another format or version, or its first line is damaged.
    """
    if not path.exists():
        return Glance(None, 0, None)
    whole = _content(path).split(b"\n")[:-1]
    if not whole:
        return Glance(None, 0, None)
    _check_format(whole[0], path)
    header, last = _read(1, whole[0]), _read(len(whole), whole[-1])
    if not isinstance(header, RunStarted):
        raise FormatError(f"{damaged(path, Damage(1, 'it is no first line'))}; restore the file from a copy")
    started = sum(_START.match(line) is not None for line in whole)
    return Glance(header, started, last if isinstance(last, RunFinished) else None)


def cut(path: Path, size: int) -> None:
    """Cuts a file to its first `size` bytes; it is so on the disk when this returns."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def rewrite(path: Path, records: Iterable[Record]) -> None:
    """Puts another file in the place of `path` in one step; it is on the disk when this returns."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.writelines(map(to_line, records))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_format(line: bytes, path: Path) -> None:
    try:
        record = json.loads(line)["record"]
        name, version = record.get("format"), record.get("version")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{damaged(path, Damage(1, 'it is not a record'))}; restore the file from a copy") from error
    if name != FORMAT or version not in READABLE:
        raise FormatError(
            f"records must have the format {FORMAT} version {' or '.join(map(str, READABLE))}, "
            f"but {path} has {name} version {version}; "
            "read it with the version of bmtune that wrote it"
        )


class RecordWriter:
    """Appends records to a file; one writer a file.

    Every record is handed to the operating system as soon as it is written and reaches the disk at most
    `sync_every_s` seconds later, or at once after `sync`.
    """

    def __init__(
        self,
        path: Path,
        sync_every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        """Opens `path` for appending; a torn tail must have been cut off before.

        Args:
            path: The file.
            sync_every_s: Most seconds until a record is on the disk.
            clock: Seconds that never run backwards.
            patience: How a full disk is waited for; None: it is an error.
        """
        self._file = LineFile(path, patience)
        self._sync_every_s = sync_every_s
        self._clock = clock
        self._synced = clock()

    def write(self, record: BaseModel) -> None:
        """Appends one record.

        Raises:
            OSError: The disk refuses, or is full and nobody waits; the file is as it was.
        """
        self._file.append(to_line(record))
        if self._clock() - self._synced >= self._sync_every_s:
            self.sync()

    def sync(self) -> None:
        """Returns when everything written so far is on the disk."""
        self._file.sync()
        self._synced = self._clock()

    def close(self) -> None:
        """Syncs and closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self.close()
