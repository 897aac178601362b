import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bmtune.audit import audit
from bmtune.checkpoints import write_checkpoint
from bmtune.cli import app
from bmtune.config.space import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import TrialStarted
from bmtune.records import read_records
from bmtune.search.conduct import begin_trial
from bmtune.search.conduct import take_report
from bmtune.search.doctor import check_run
from bmtune.search.doctor import repair_run
from bmtune.search.ledger import Ledger
from bmtune.search.lock import RunLock
from bmtune.search.state import SearchState
from bmtune.search.trial_run import TrialEnd
from bmtune.search.trial_run import TrialReport
from bmtune.search.view import rebuild

# SQLAlchemy takes a second to import.
pytestmark = pytest.mark.slow


@pytest.fixture
def run(make_space: Callable[..., SearchSpace], open_ledger: Callable[..., Ledger], tmp_path: Path) -> Path:
    """A run of three trials of three epochs: one has ended, two have not."""
    space = make_space(("max_epochs: 9", "max_epochs: 3"), ("budget:", "run: {scheduler: none}\nbudget:"))
    (tmp_path / "search.yaml").write_text(dump(space.to_mapping()))
    ledger = open_ledger(space)
    for trial in range(3):
        begin_trial(ledger)
        for number in (1, 2, 3):
            take_report(ledger, trial, report(tmp_path, trial, number, last=trial == 0 and number == 3))
    rebuild(tmp_path / "study.db", ledger.state)
    return tmp_path


def report(folder: Path, trial: int, number: int, *, last: bool) -> TrialReport:
    metrics = {"loss": 1 / number}
    epoch = Epoch(
        trial=trial,
        phase="pre",
        epoch=number,
        budget=number,
        metrics=metrics,
        seconds=0.1,
        eligible=True,
        best_epoch=number,
        best_metrics=metrics,
    )
    path = f"checkpoints/trial-{trial:05d}/last"
    facts = {"budget": number, "training": {}, "epochs": {"pre": number}}
    write_checkpoint(folder / path, {"cores": torch.ones(2)}, facts)
    end = TrialEnd(status="completed", reason="done") if last else None
    written = CheckpointWritten(trial=trial, which="last", budget=number, path=path)
    return TrialReport(epochs=(epoch,), checkpoints=(written,), end=end)


def lines_of(run: Path) -> list[bytes]:
    return (run / "records.jsonl").read_bytes().splitlines(keepends=True)


def flip(run: Path, number: int) -> None:
    """Damages a line of the records, counted from 1."""
    lines = lines_of(run)
    lines[number - 1] = lines[number - 1].replace(b'"crc":"', b'"crc":"0', 1)
    (run / "records.jsonl").write_bytes(b"".join(lines))


def number_of(run: Path, kind: str, trial: int, which: int = 0) -> int:
    wanted = [
        number
        for number, line in enumerate(lines_of(run), start=1)
        if f'"kind":"{kind}","trial":{trial},'.encode() in line
    ]
    return wanted[which]


def test_a_sound_run_is_sound(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_run(run) == []
    assert repair_run(run) == []
    assert app.main(["doctor", str(run)]) == 0
    assert capsys.readouterr().out == f"{run} is sound\n"


def test_a_torn_tail_is_told_and_cut(run: Path) -> None:
    whole = (run / "records.jsonl").read_bytes()
    (run / "records.jsonl").write_bytes(whole + b'{"crc":"12')
    (found,) = check_run(run)
    assert "the last line was cut off after 10 bytes" in found
    assert repair_run(run)
    assert (run / "records.jsonl").read_bytes() == whole
    assert check_run(run) == []


def test_a_damaged_epoch_is_named_and_the_rest_is_kept(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number, before = number_of(run, "epoch", 1, 1), len(lines_of(run))
    flip(run, number)
    (found,) = check_run(run)
    assert f"line {number} of " in found
    assert f"--repair would keep {before - 1} of {before} records" in found
    assert app.main(["doctor", str(run)]) == 1
    assert app.main(["doctor", str(run), "--repair"]) == 1
    said = capsys.readouterr().out
    assert f"{before - 1} of {before} records were kept" in said
    (kept_as,) = run.glob("records.jsonl.damaged-*")
    # A notice stands where it was; the epoch behind it has followed its checkpoint before.
    assert number_of(run, "epoch", 1, 1) == number + 2
    assert kept_as.read_bytes().count(b"\n") == before
    # What was lost is missing, and whoever goes on trains it again: nothing else is amiss.
    assert check_run(run) == ["pre epochs 2 of trial 1 are missing"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_trial_that_had_ended_and_lacks_an_epoch_now_goes_on(run: Path, which: int) -> None:
    flip(run, number_of(run, "epoch", 0, which))
    repair_run(run)
    state = SearchState.replay(_space(run), read_records(run / "records.jsonl").records)
    assert sorted(state.running) == [0, 1, 2]
    assert state.epochs_of(0) == {("pre", number) for number in (1, 2, 3) if number != which + 1}


def test_a_lost_start_is_written_again_and_the_trial_keeps_its_number(run: Path) -> None:
    flip(run, number_of(run, "trial_started", 2))
    assert repair_run(run)
    records = read_records(run / "records.jsonl").records
    assert [record.trial for record in records if isinstance(record, TrialStarted)] == [0, 1, 2]
    # Its values were nowhere to be found: it begins anew, and its checkpoint is out of the way.
    assert not [record for record in records if isinstance(record, Epoch) and record.trial == 2]
    assert not (run / "checkpoints" / "trial-00002" / "last").exists()
    assert audit(records) == []
    assert check_run(run) == []


def test_a_damaged_checkpoint_and_a_view_that_lacks_a_trial_are_told(run: Path) -> None:
    place = run / "checkpoints" / "trial-00001" / "last" / "tensors.safetensors"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    shutil.copy(run / "study.db", run / "whole.db")
    (run / "study.db").write_bytes(b"no database")
    checkpoint, view = check_run(run)
    assert checkpoint.startswith("trial 1: a checkpoint's files must match their checksums")
    assert view == "study.db holds 0 of 1 trials that have ended; --repair writes it anew"
    assert repair_run(run) == ["study.db was written anew from the records"]
    assert check_run(run) == [checkpoint]


def test_a_checkpoint_that_lies_elsewhere_is_not_read(run: Path, open_ledger: Callable[..., Any]) -> None:
    link = run / "checkpoints" / "trial-00001" / "last"
    shutil.rmtree(link)
    link.symlink_to("/etc")
    (found,) = check_run(run)
    assert found.startswith("trial 1: ")


@pytest.mark.parametrize("command", [[], ["--repair"]])
def test_a_run_that_is_being_written_and_what_is_no_run_are_refused(
    run: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLock(run):
        assert app.main(["doctor", str(run), *command]) == 2
    assert "is being written by process" in capsys.readouterr().err
    assert app.main(["doctor", str(run / "checkpoints"), *command]) == 2
    assert capsys.readouterr().err.startswith("error: a run must be a folder with search.yaml and records.jsonl, but ")


def test_without_its_first_line_a_run_is_nothing(run: Path) -> None:
    flip(run, 1)
    (run / "records.jsonl").write_bytes(b"x" + (run / "records.jsonl").read_bytes())
    for work in (check_run, repair_run):
        with pytest.raises(FormatError, match="restore the file from a copy"):
            work(run)


@pytest.mark.parametrize("number", range(2, 23))
def test_whatever_line_is_damaged_the_repair_is_sound_and_replays(run: Path, number: int) -> None:
    count = len(lines_of(run))
    assert number <= count <= 23
    flip(run, number)
    repair_run(run)
    records = read_records(run / "records.jsonl").records
    state = SearchState.replay(SearchState(_space(run)).space, records)
    assert state.num_started == 3
    assert [text for text in audit(records) if "missing" not in text] == []


def _space(run: Path) -> SearchSpace:
    from bmtune.search.old_run import look_at

    return look_at(run)[0]


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="give the folder that a search wrote"):
        check_run(tmp_path / "nowhere")
