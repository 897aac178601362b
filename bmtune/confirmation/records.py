"""`confirmation.jsonl`: one immutable line for each training of a confirmation, in the frame of a run's records.

What is in it is never done again: a confirmation that was interrupted, or is asked for with more seeds, goes on.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from typing import Literal

from pydantic import Field
from pydantic import TypeAdapter

from bmtune.records import Line
from bmtune.records import LinesRead
from bmtune.records import Metrics
from bmtune.records import Objective
from bmtune.records import body_of
from bmtune.records import read_lines

FILE = "confirmation.jsonl"
FORMAT = "bmtune.confirmation"
VERSION = 1


class ConfirmationStarted(Line):
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


class TrainingEnded(Line):
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


class TestMeasured(Line):
    """A winner's model was measured on the test rows; nothing is chosen by it."""

    __test__ = False  # the name is no test's

    kind: Literal["test_measured"] = "test_measured"
    trial: int = Field(ge=0)
    seed: int = Field(ge=0)
    metrics: Metrics
    time: float


ConfirmationRecord = ConfirmationStarted | TrainingEnded | TestMeasured
_RECORD: TypeAdapter[ConfirmationRecord] = TypeAdapter(Annotated[ConfirmationRecord, Field(discriminator="kind")])


def read_confirmation(path: Path) -> LinesRead[ConfirmationRecord]:
    """Reads the file.

    Raises:
        FormatError: It is unreadable, of another format or version, or damaged before its last line.
    """
    return read_lines(path, lambda line: _RECORD.validate_json(body_of(line)), FORMAT, (VERSION,))


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
