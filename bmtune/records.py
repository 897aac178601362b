"""Records: the immutable lines that a search leaves behind, and the only state that it has.

A records file holds one JSON object a line, each with a CRC-32 of its own text, and begins with a
`RunStarted`. One process writes it and only ever appends; a last line that was cut off in the middle is dropped on
reading, and damage anywhere else is an error that names the line.
"""

import json
import math
import re
import time
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pathlib import PurePath
from types import TracebackType
from typing import Annotated
from typing import Literal
from typing import Protocol
from typing import Self

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import JsonValue
from pydantic import TypeAdapter
from pydantic import ValidationError

from bmtune.disk_space import Patience
from bmtune.errors import FormatError
from bmtune.line_file import LineFile

FORMAT = "bmtune.records"
VERSION = 2
READABLE = (1, 2)
"""Versions that this release reads: the first knew no notices, no shared pre-training and no trial that pauses."""

Metrics = dict[str, float]
"""Measured values by metric name."""


def inner_path(path: str) -> str:
    """`path` itself, where it leads to a place below the folder that it is joined to; links aside.

    Raises:
        ValueError: It is absolute, climbs out, or is no path.
    """
    if PurePath(path).is_absolute() or ".." in PurePath(path).parts or "\0" in path:
        raise ValueError(f"a path must lead to a place within its folder, but got {path!r}")
    return path


class _Line(BaseModel):
    # Non-finite numbers travel as strings: JSON has no word for them, and a diverged trial must survive a round trip.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Objective(_Line):
    """What a search makes as good as it can."""

    metric: str
    mode: Literal["max", "min"]

    def better(self, candidate: float, incumbent: float) -> bool:
        """Whether `candidate` is strictly better than `incumbent`; NaN never is."""
        return candidate > incumbent if self.mode == "max" else candidate < incumbent


class RunStarted(_Line):
    """The first line of a records file."""

    kind: Literal["run_started"] = "run_started"
    format: Literal["bmtune.records"] = "bmtune.records"
    version: Literal[1, 2] = 2
    run: str
    trainer: str
    dataset: str
    data_hash: str
    """Hash of the data set's content, so that a run is never mixed with another data set's."""
    objective: Objective
    trials: int
    """Trials that the search may start."""
    max_epochs: int
    """Epochs of the main phase in one trial's whole budget."""
    seed: int
    bmtune: str
    """Version of the package that wrote the file."""
    time: float
    """Seconds since 1970."""


class Notice(_Line):
    """Something that the user should know of the run, in a sentence; nothing follows from it."""

    kind: Literal["notice"] = "notice"
    text: str


class TrialStarted(_Line):
    """A configuration was proposed; its trial exists from here on."""

    kind: Literal["trial_started"] = "trial_started"
    trial: int = Field(ge=0)
    params: dict[str, JsonValue]
    """Searched values by dotted path."""
    seed: int
    time: float


class PretrainingShared(_Line):
    """A trial did not train its `pre` phase: it took the result of one that would have been equal."""

    kind: Literal["pretraining_shared"] = "pretraining_shared"
    trial: int = Field(ge=0)
    key: str
    """Hash of all that determines pre-training."""
    from_run: str
    """Name of the run that trained it: this one, or one with the same cache."""
    from_trial: int = Field(ge=0)
    """The trial of that run which trained it."""
    epochs: int = Field(ge=1)
    """Epochs that it took there; they are none of this trial's."""
    metrics: Metrics
    """What the main phase starts from, as "start/..."."""


class Epoch(_Line):
    """One epoch of one trial; (trial, phase, epoch) is unique."""

    kind: Literal["epoch"] = "epoch"
    trial: int = Field(ge=0)
    phase: str
    epoch: int = Field(ge=1)
    """Epochs of this phase, counted over the whole trial."""
    budget: int = Field(ge=0)
    """Epochs of the main phase done so far."""
    metrics: Metrics
    seconds: float
    """Wall-clock time of this epoch."""
    eligible: bool
    """Whether this epoch may be the trial's best."""
    best_epoch: int | None = None
    """The best epoch of the main phase so far; None: none yet."""
    best_metrics: Metrics | None = None


class Rung(_Line):
    """A trial reached a rung, and halving decided."""

    kind: Literal["rung"] = "rung"
    trial: int = Field(ge=0)
    rung: int = Field(ge=1)
    """Epochs of the main phase at which this rung lies."""
    value: float | None
    """The trial's value there; None: it had no epoch that may be best."""
    decision: Literal["continue", "stop", "promote", "pause"]
    """Whether it goes on, ends, goes on as promoted, or waits for a promotion."""


class TrialPromoted(_Line):
    """A trial that had paused at a rung goes on."""

    kind: Literal["trial_promoted"] = "trial_promoted"
    trial: int = Field(ge=0)
    rung: int = Field(ge=1)
    """The rung that it leaves."""
    time: float


class CheckpointWritten(_Line):
    """A checkpoint lies in the run folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    trial: int = Field(ge=0)
    which: Literal["best", "last"]
    budget: int = Field(ge=0)
    path: Annotated[str, AfterValidator(inner_path)]
    """Relative to the run folder."""


Status = Literal["completed", "pruned", "failed"]


class TrialFinished(_Line):
    """A trial ended."""

    kind: Literal["trial_finished"] = "trial_finished"
    trial: int = Field(ge=0)
    status: Status
    reason: str
    """Why, in words for a table."""
    value: float | None = None
    """The objective at the best epoch; None where the trial has none."""
    best_epoch: int | None = None
    best_metrics: Metrics | None = None
    error: str | None = None
    """The traceback, where an exception ended the trial."""
    time: float


class RunFinished(_Line):
    """The search ended by itself (a run that was interrupted has no such line)."""

    kind: Literal["run_finished"] = "run_finished"
    reason: str
    best: int | None
    """Number of the winning trial."""
    test_metrics: Metrics | None = None
    """The winner's best epoch on the test rows."""
    time: float


def merit(*, passed: int, held: bool, whole: bool, promotes: bool) -> float:
    """What counts before its value when the best trial is chosen; the more the better.

    A trial that went on was not the worse one at any rung, so early luck of one that was held does not win over it.

    Args:
        passed: Rungs from which the trial went on.
        held: Whether it was stopped at a rung, or waits at one.
        whole: Whether it went through to its end.
        promotes: Whether halving promotes in this run; else it stops.

    Returns:
        Where halving stops: whether the trial went on. Where it promotes, a trial that has met no rung has shown
        nothing yet, and one that waits may have shown more than others: those that went through to their ends come
        first, then those that passed more rungs.
    """
    if not promotes:
        return float(not held)
    return math.inf if whole and not held else float(passed)


TrialRecord = TrialStarted | PretrainingShared | Epoch | Rung | TrialPromoted | CheckpointWritten | TrialFinished
Record = RunStarted | Notice | TrialRecord | RunFinished
_FRAME = re.compile(rb'\{"crc":"([0-9a-f]{8})","record":(.*)\}', re.DOTALL)
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class Listener(Protocol):
    """Whoever wants to hear of every record as it is written."""

    def on_record(self, record: Record) -> None:
        """Called once for each record, in order, after it was handed to the file."""


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


def read_records(path: Path) -> RecordsRead:
    """Reads a records file.

    Raises:
        FormatError: The file is missing, of another format or version, or damaged before its last line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"a run must have a readable records file, but {path} is not: {error.strerror}") from error
    records: list[Record] = []
    size = 0
    for number, line in _whole_lines(content):
        if number == 1:
            _check_format(line, path)
        try:
            records.append(from_line(line))
        except ValidationError as error:
            raise FormatError(_damage(path, number, error.errors()[0]["msg"])) from error
        except ValueError as error:
            raise FormatError(_damage(path, number, str(error))) from error
        size += len(line) + 1
    torn = len(content) - size
    notice = f"{path}: the last line was cut off after {torn} bytes and is left out" if torn else None
    return RecordsRead(tuple(records), size, notice)


def _whole_lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines (from 1) that end in a newline, without it."""
    return enumerate(content.split(b"\n")[:-1], start=1)


def _damage(path: Path, number: int, reason: str) -> str:
    return (
        f"every line of a records file must be whole, but line {number} of {path} is damaged ({reason}); "
        "restore the file from a copy"
    )


def _check_format(line: bytes, path: Path) -> None:
    try:
        record = json.loads(line)["record"]
        name, version = record.get("format"), record.get("version")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(_damage(path, 1, "it is not a record")) from error
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
