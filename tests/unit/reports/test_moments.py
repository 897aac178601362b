from types import SimpleNamespace

import pytest

from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RunStarted
from bmtune.records import TrialStarted
from bmtune.reports.moments import moments

STARTED = RunStarted(
    run="night",
    trainer="gan",
    dataset="moons",
    data_hash="0",
    objective=Objective(metric="fid", mode="min"),
    trials=4,
    max_epochs=9,
    seed=0,
    bmtune="0.1.0",
    time=1000.0,
)
SILENT = Notice(text="it tells no time")


def at(time: float) -> Record:
    return TrialStarted(trial=0, params={}, seed=0, time=time)


def test_records_without_a_time_stand_between_their_neighbours():
    assert moments([STARTED, SILENT, SILENT, SILENT, at(1008.0)]) == [0, 2, 4, 6, 8]


def test_what_follows_the_last_known_time_is_put_there():
    assert moments([STARTED, at(1003.0), SILENT, SILENT]) == [0, 3, 3, 3]


def test_a_clock_that_was_set_back_does_not_run_backwards():
    assert moments([STARTED, at(1010.0), at(1004.0), at(1012.0)]) == [0, 10, 10, 12]


def test_the_time_between_an_interruption_and_going_on_is_left_out():
    resumed = SimpleNamespace(kind="run_resumed", time=9000.0)
    assert moments([STARTED, at(1010.0), SILENT, resumed, SILENT, at(9004.0)]) == pytest.approx([0, 10, 10, 10, 12, 14])


def test_no_records_have_no_moments():
    assert moments([]) == []
