from pathlib import Path

import pytest

from bmtune.confirmation.records import ConfirmationStarted
from bmtune.confirmation.records import Ended
from bmtune.confirmation.records import TestMeasured
from bmtune.confirmation.records import TrainingEnded
from bmtune.confirmation.records import read_confirmation
from bmtune.errors import FormatError
from bmtune.records import Objective
from bmtune.records import RecordWriter
from bmtune.records import to_line

STARTED = ConfirmationStarted(
    run="night", data_hash="0", objective=Objective(metric="fid", mode="min"), max_epochs=9, bmtune="0", time=1.0
)
ENDED = TrainingEnded(
    trial=3, seed=7, status="completed", reason="so", value=0.5, epoch=2, metrics={"fid": 0.5}, epochs=9, seconds=1.0,
    time=2.0,
)  # fmt: skip
TESTED = TestMeasured(trial=3, seed=7, metrics={"fid": float("inf")}, time=3.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with RecordWriter(tmp_path / "confirmation.jsonl") as writer:
        for record in (STARTED, ENDED, TESTED):
            writer.write(record)
    return tmp_path / "confirmation.jsonl"


def test_records_come_back_equal(path: Path):
    found = read_confirmation(path)
    assert found.records == (STARTED, ENDED, TESTED)
    assert found.size == path.stat().st_size


def test_a_torn_tail_is_left_out(path: Path):
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + to_line(ENDED)[:-9])
    found = read_confirmation(path)
    assert (len(found.records), found.size) == (3, whole)


def test_a_damaged_line_is_named(path: Path):
    path.write_bytes(path.read_bytes().replace(b'"epoch":2', b'"epoch":3'))
    with pytest.raises(FormatError, match=r"line 2 of .*confirmation.jsonl is damaged \(its checksum does not match\)"):
        read_confirmation(path)


def test_another_version_is_named(path: Path):
    path.write_bytes(to_line(STARTED.model_copy(update={"version": 9})))
    with pytest.raises(FormatError, match=r"bmtune.confirmation version 1, but .* version 9"):
        read_confirmation(path)


def test_what_came_last_of_a_training_counts():
    again = ENDED.model_copy(update={"value": 0.25})
    found = Ended([STARTED, ENDED, again, TESTED])
    assert found.trainings == {(3, 7): again}
    assert found.tests == {(3, 7): {"fid": float("inf")}}
