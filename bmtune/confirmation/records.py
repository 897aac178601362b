"""`confirmation.jsonl`: one immutable line for each training of a confirmation, in the frame of a run's records.

What is in it is never done again: a confirmation that was interrupted, or is asked for with more seeds, goes on.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from typing import Literal
from typing import NamedTuple

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import TypeAdapter
from pydantic import ValidationError

from bmtune.errors import FormatError
from bmtune.records import Metrics
from bmtune.records import Objective
from bmtune.records import body_of

FILE = "confirmation.jsonl"
FORMAT = "bmtune.confirmation"
VERSION = 1


class _Line(BaseModel):
    # A metric that is not finite travels as a string: JSON has no word for it.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class ConfirmationStarted(_Line):
    """The first line."""

    kind: Literal["confirmation_started"] = "confirmation_started"
    format: Literal["bmtune.confirmation"] = "bmtune.confirmation"
    version: Literal[1] = 1
    run: str
    data_hash: str
    """That of the run whose trials are confirmed."""
    objective: Objective
    max_epochs: int
    """Epochs of the main phase in one training's whole budget."""
    bmtune: str
    """Version of the package that wrote the file."""
    time: float
    """Seconds since 1970."""


class TrainingEnded(_Line):
    """One configuration was trained with one seed."""

    kind: Literal["training_ended"] = "training_ended"
    trial: int = Field(ge=0)
    """The trial of the run whose configuration this is."""
    seed: int = Field(ge=0)
    status: Literal["completed", "failed"]
    reason: str
    """Why it ended, in words."""
    value: float | None = None
    """The objective on validation rows at the best epoch; None: it failed."""
    epoch: int | None = None
    """That epoch of the main phase."""
    metrics: Metrics | None = None
    """Validation metrics at that epoch."""
    checkpoint: str | None = None
    """Its cores, relative to the run folder."""
    epochs: int = Field(ge=0)
    """Epochs of all phases."""
    seconds: float
    """Their time; in a pack, this training's share of the pack's."""
    error: str | None = None
    """The traceback, where an exception ended it."""
    time: float


class TestMeasured(_Line):
    """A winner's model was measured on the test rows; nothing is chosen by it."""

    __test__ = False  # the name is no test's

    kind: Literal["test_measured"] = "test_measured"
    trial: int = Field(ge=0)
    seed: int = Field(ge=0)
    metrics: Metrics
    time: float


ConfirmationRecord = ConfirmationStarted | TrainingEnded | TestMeasured
_RECORD: TypeAdapter[ConfirmationRecord] = TypeAdapter(Annotated[ConfirmationRecord, Field(discriminator="kind")])


class ConfirmationRead(NamedTuple):
    """What a file holds.

    Attributes:
        records: Every whole record, in order.
        size: Bytes that they take; whatever follows is a torn tail.
    """

    records: tuple[ConfirmationRecord, ...]
    size: int


def read_confirmation(path: Path) -> ConfirmationRead:
    """Reads the file.

    Raises:
        FormatError: It is unreadable, of another format or version, or damaged before its last line.
    """
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise FormatError(f"a confirmation must be readable, but {path} is not: {error.strerror}") from error
    records: list[ConfirmationRecord] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_parse(line, path))
        except ValueError as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise FormatError(
                f"every line of a confirmation must be whole, but line {number} of {path} is damaged ({reason}); move "
                "the file away to confirm anew"
            ) from error
    return ConfirmationRead(tuple(records), sum(len(line) + 1 for line in lines))


def _parse(line: bytes, path: Path) -> ConfirmationRecord:
    body = body_of(line)
    head = json.loads(body)
    if head.get("kind") == "confirmation_started" and (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise FormatError(
            f"a confirmation must have the format {FORMAT} version {VERSION}, but {path} has {head.get('format')} "
            f"version {head.get('version')}; move the file away to confirm anew"
        )
    return _RECORD.validate_json(body)


class Ended:
    """What some records tell: each training, and each measurement on test rows, by (trial, seed).

    Attributes:
        trainings: The last end of each training.
        tests: Test metrics.
    """

    def __init__(self, records: Iterable[ConfirmationRecord] = ()) -> None:
        self.trainings: dict[tuple[int, int], TrainingEnded] = {}
        self.tests: dict[tuple[int, int], Metrics] = {}
        for record in records:
            self.take(record)

    def take(self, record: ConfirmationRecord) -> None:
        """Adds one record."""
        if isinstance(record, TrainingEnded):
            self.trainings[record.trial, record.seed] = record
        elif isinstance(record, TestMeasured):
            self.tests[record.trial, record.seed] = record.metrics
