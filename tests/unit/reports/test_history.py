from collections.abc import Callable
from pathlib import Path

import pytest

from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialStarted
from bmtune.records import to_line
from bmtune.reports.history import RunHistory
from bmtune.reports.history import Span
from bmtune.reports.history import read_run

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
    time=0.0,
)


def epoch(phase: str, number: int, budget: int, fid: float | None, best: float | None) -> Epoch:
    return Epoch(
        trial=0,
        phase=phase,
        epoch=number,
        budget=budget,
        metrics={} if fid is None else {"fid": fid},
        seconds=0.5,
        eligible=True,
        best_epoch=None if best is None else budget,
        best_metrics=None if best is None else {"fid": best},
    )


def test_a_main_epoch_is_finished_by_the_record_that_counts_it():
    records: list[Record] = [
        STARTED,
        TrialStarted(trial=0, params={}, seed=0, time=0.0),
        epoch("pre", 1, 0, None, None),
        epoch("gan", 1, 0, 0.9, None),
        epoch("re", 1, 1, 0.5, 0.5),
        epoch("gan", 2, 2, 0.7, 0.5),
    ]
    course = RunHistory(records).courses[0]
    assert [(main.budget, main.metrics["fid"], main.best) for main in course.main] == [(1, 0.5, 0.5), (2, 0.7, 0.5)]
    assert len(course.epochs) == 4
    assert course.seconds == 2.0


def test_a_trial_rests_between_its_pause_and_its_promotion():
    records: list[Record] = [
        STARTED,
        TrialStarted(trial=0, params={}, seed=0, time=0.0),
        epoch("gan", 1, 1, 0.5, 0.5),
        Rung(trial=0, rung=1, value=0.5, decision="pause"),
        TrialPromoted(trial=0, rung=1, time=6.0),
        TrialFinished(trial=0, status="completed", reason="so", time=10.0),
    ]
    history = RunHistory(records)
    assert history.courses[0].spans == [Span(0.0, 4.0), Span(6.0, 10.0)]
    assert history.seconds == 10.0
    assert history.courses[0].ended == 10.0


def test_incumbents_are_the_values_that_beat_all_before(recorded: Callable[..., object], told: Callable[..., object]):
    history = recorded(told((0.5, 0.4, 0.45)), told((0.6, 0.3)), told((0.35,))).history
    assert [(found.epochs, found.value, found.trial) for found in history.incumbents] == [
        (1, 0.5, 0),
        (2, 0.4, 0),
        (5, 0.3, 1),
    ]


def test_of_a_metric_to_be_high_the_high_values_are_incumbents(
    recorded: Callable[..., object], told: Callable[..., object]
):
    aim = Objective(metric="acc", mode="max")
    history = recorded(told((0.5, 0.4, 0.45)), told((0.6, 0.3)), objective=aim).history
    assert [(found.value, found.trial) for found in history.incumbents] == [(0.5, 0), (0.6, 0), (0.7, 1)]


def test_a_folder_without_records_is_refused_in_one_sentence(tmp_path: Path):
    with pytest.raises(RunFolderError, match="a run must be a folder with records.jsonl"):
        read_run(tmp_path)


def test_records_of_another_version_are_refused_in_one_sentence(write_run: Callable[..., Path]):
    folder = write_run()
    path = folder / "records.jsonl"
    path.write_text(path.read_text().replace('"version":', '"version":9'))
    with pytest.raises(FormatError, match="read it with the version of bmtune that wrote it"):
        read_run(folder)


def test_records_that_were_cut_off_in_their_first_line_are_refused(write_run: Callable[..., Path]):
    folder = write_run()
    (folder / "records.jsonl").write_bytes(b'{"crc":"00')
    with pytest.raises(FormatError, match="records must begin with the start of a run"):
        read_run(folder)


def test_records_of_a_trial_that_never_started_are_refused(write_run: Callable[..., Path]):
    folder = write_run(ended=False)
    with (folder / "records.jsonl").open("ab") as file:
        file.write(to_line(TrialFinished(trial=7, status="completed", reason="so", time=1.0)))
    with pytest.raises(FormatError, match="records must follow from those before them"):
        read_run(folder)
