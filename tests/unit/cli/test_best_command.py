import json
from pathlib import Path

import pytest

from bmtune.cli.app import main
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import read_best
from bmtune.config.best import write_best
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.yaml_text import dump
from bmtune.config.yaml_text import parse
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunFinished
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.reports.summary import summarize

LR = "trainer.classification.optimizer.lr"


def trial(number: int, loss: float, status: str | None) -> list[Record]:
    found: list[Record] = [TrialStarted(trial=number, params={LR: 0.01 * (number + 1)}, seed=100 + number, time=0.0)]
    metrics = {"loss": loss, "acc": 0.9}
    found.append(
        Epoch(
            trial=number,
            phase="pre",
            epoch=5,
            budget=5,
            metrics=metrics,
            seconds=0.1,
            eligible=True,
            best_epoch=5,
            best_metrics=metrics,
        )
    )
    path = f"checkpoints/trial-{number:05d}/best"
    found.append(CheckpointWritten(trial=number, which="best", budget=5, path=path))
    if status:
        found.append(TrialFinished(trial=number, status=status, reason="so", value=loss, time=1.0))
    return found


STARTED = RunStarted(
    run="night",
    trainer="classification",
    dataset="moons_4k",
    data_hash="0",
    objective=Objective(metric="loss", mode="min"),
    trials=9,
    max_epochs=40,
    seed=0,
    bmtune="0.1.0",
    time=0.0,
)
RUNNING = [
    STARTED,
    *trial(0, 0.5, "completed"),
    *trial(1, 0.3, "pruned"),
    *trial(2, 0.1, "failed"),
    *trial(3, 0.2, None),
]


def write_run(folder: Path, records: list[Record]) -> Path:
    folder.mkdir(parents=True)
    space = load_space(default_space_path("classification"))
    (folder / "search.yaml").write_text(dump(space.to_mapping()))
    with RecordWriter(folder / "records.jsonl") as writer:
        for record in records:
            writer.write(record)
    return folder


@pytest.fixture
def running(tmp_path: Path) -> Path:
    return write_run(tmp_path / "outputs" / "night", RUNNING)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["best", *arguments]) == 0
    return capsys.readouterr().out


def test_json_has_the_promised_keys_and_no_others(running: Path, capsys: pytest.CaptureFixture[str]):
    content = json.loads(printed(capsys, str(running), "--json"))
    assert list(content) == ["run", "trainer", "dataset", "objective", "best", "trials", "confirmation"]
    assert list(content["best"]) == ["trial", "value", "epoch", "metrics", "config", "checkpoint"]
    assert content["objective"] == [{"metric": "loss", "mode": "min"}]
    assert content["trials"] == {"total": 4, "completed": 1, "pruned": 1, "failed": 1}


def test_a_run_that_goes_on_is_rebuilt_from_its_records(running: Path, capsys: pytest.CaptureFixture[str]):
    content = json.loads(printed(capsys, str(running), "--json"))
    best = content["best"]
    assert (content["run"], content["trainer"], content["dataset"]) == ("night", "classification", "moons_4k")
    assert (best["trial"], best["value"], best["epoch"], best["metrics"]) == (3, 0.2, 5, {"loss": 0.2, "acc": 0.9})
    assert best["checkpoint"] == "checkpoints/trial-00003/best"
    assert best["config"]["trainer"]["classification"]["optimizer"]["lr"] == 0.04
    assert best["config"]["seed"] == 103
    assert best["config"]["recipe"] == "classification"


def test_a_torn_last_line_is_a_note_and_not_an_error(running: Path, capsys: pytest.CaptureFixture[str]):
    records = running / "records.jsonl"
    records.write_bytes(records.read_bytes()[:-20])
    assert main(["best", str(running), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["best"]["trial"] == 3
    assert captured.err.startswith("note: ")
    assert "cut off" in captured.err


def test_top_lists_the_best_trials_and_never_a_failed_one(running: Path, capsys: pytest.CaptureFixture[str]):
    content = json.loads(printed(capsys, str(running), "--json", "--top", "9"))
    assert [entry["trial"] for entry in content["top"]] == [3, 1, 0]
    assert content["top"][0] == content["best"]
    content = json.loads(printed(capsys, str(running), "--json", "--top", "2"))
    assert [entry["trial"] for entry in content["top"]] == [3, 1]


@pytest.mark.parametrize("arguments", [[], ["--top", "2"]])
def test_the_yaml_is_a_best_file_that_can_be_trained(
    running: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
):
    text = printed(capsys, str(running), *arguments)
    (tmp_path / "copy.yaml").write_text(text)
    assert read_best(tmp_path / "copy.yaml").best.trial == 3
    assert text.count("# ") == (2 if arguments else 0)
    assert "python/" not in text
    assert parse(text, "printed")["best"]["value"] == 0.2


def test_the_file_that_the_run_kept_adds_test_metrics_and_the_checkpoint(
    running: Path, capsys: pytest.CaptureFixture[str]
):
    rebuilt = summarize(running).best
    metrics = {**rebuilt.best.metrics, "test/loss": 0.25}
    entry = BestEntry(**{**dict(rebuilt.best), "metrics": metrics, "checkpoint": "best"})
    write_best(running / "best.yaml", BestFile(**{**dict(rebuilt), "best": entry}))
    content = json.loads(printed(capsys, str(running), "--json", "--top", "2"))
    assert content["best"]["metrics"]["test/loss"] == 0.25
    assert content["best"]["checkpoint"] == "best"
    assert content["top"][0] == content["best"]
    assert "test/loss" not in content["top"][1]["metrics"]


def test_a_kept_file_that_records_have_overtaken_is_left_aside(running: Path, capsys: pytest.CaptureFixture[str]):
    rebuilt = summarize(running).best
    entry = BestEntry(**{**dict(rebuilt.best), "epoch": 4, "value": 0.9})
    write_best(running / "best.yaml", BestFile(**{**dict(rebuilt), "best": entry}))
    best = json.loads(printed(capsys, str(running), "--json"))["best"]
    assert (best["epoch"], best["value"]) == (5, 0.2)


def test_a_summary_knows_whether_the_search_ended(running: Path, tmp_path: Path):
    assert not summarize(running).finished
    ended = [*RUNNING, RunFinished(reason="all trials ended", best=3, time=9.0)]
    assert summarize(write_run(tmp_path / "ended", ended)).finished


def test_a_run_may_be_named(running: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(running.parents[1])
    assert json.loads(printed(capsys, "night", "--json"))["run"] == "night"


@pytest.mark.parametrize(
    ("records", "message"),
    [(None, "a run must be a folder with records.jsonl"), ([STARTED], "a run must have a trial with a finished epoch")],
)
def test_a_folder_without_a_measured_trial_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], records: list[Record] | None, message: str
):
    folder = tmp_path / "night"
    if records is not None:
        write_run(folder, records)
    assert main(["best", str(folder), "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert str(folder) in captured.err
    assert captured.out == ""
