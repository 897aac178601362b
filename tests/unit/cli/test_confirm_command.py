"""What `bmtune confirm` refuses, each in one sentence and before Ray is started; what it and `bmtune best` print."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bmtune.cli.confirming as confirming
from bmtune.cli.app import main
from bmtune.config.best import BestFile
from bmtune.config.best import write_best
from bmtune.config.space import default_space_path
from bmtune.config.space import load_space
from bmtune.config.yaml_text import dump
from bmtune.confirmation.verdict import Measured
from bmtune.confirmation.verdict import judge
from bmtune.records import Epoch
from bmtune.records import Objective
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.reports.summary import summarize
from bmtune.search.confirm import Confirmed
from bmtune.search.confirm_choice import Wish
from bmtune.search.lock import RunLock

LR = "trainer.classification.optimizer.lr"
LOSS = Objective(metric="loss", mode="min")
STARTED = RunStarted(
    run="night",
    trainer="classification",
    dataset="moons_4k",
    data_hash="0",
    objective=LOSS,
    trials=9,
    max_epochs=40,
    seed=0,
    bmtune="0.1.0",
    time=0.0,
)


def trial(number: int, loss: float, status: str = "completed") -> list[Record]:
    metrics = {"loss": loss}
    epoch = Epoch(
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
    value = None if status == "failed" else loss
    end = TrialFinished(
        trial=number, status=status, reason="so", value=value, best_epoch=5, best_metrics=metrics, time=1.0
    )
    return [TrialStarted(trial=number, params={LR: 0.01 * (number + 1)}, seed=number, time=0.0), epoch, end]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    def make(*records: Record, space: str | None = None) -> Path:
        folder = tmp_path / "outputs" / "night"
        folder.mkdir(parents=True)
        text = space or dump(load_space(default_space_path("classification")).to_mapping())
        (folder / "search.yaml").write_text(text)
        with RecordWriter(folder / "records.jsonl") as writer:
            for record in records:
                writer.write(record)
        return folder

    return make


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["confirm", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "a run must be a folder with records.jsonl" in refused(capsys, str(tmp_path))


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "has 0 trials, of which 0 failed and none was; search again"),
        ([TrialStarted(trial=0, params={LR: 0.01}, seed=0, time=0.0)], "has 1 trials, of which 0 failed and none was"),
        ([*trial(0, 0.5, "failed"), *trial(1, 0.4, "failed")], "has 2 trials, of which 2 failed and none was"),
    ],
)
def test_a_run_without_a_measured_trial_is_refused(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], records: list[Record], message: str
):
    folder = make_run(STARTED, *records)
    error = refused(capsys, str(folder))
    assert "a run must have a trial that was measured" in error
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "1"), "at least 2 seeds, since one value has no spread, but got 1"),
        (("--top", "0"), "at least 1 configuration, but got 0"),
    ],
)
def test_numbers_that_are_too_small_are_refused(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
):
    assert message in refused(capsys, str(make_run(STARTED, *trial(0, 0.5))), *arguments)


def test_a_run_that_is_being_written_is_refused(make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    folder = make_run(STARTED, *trial(0, 0.5))
    with RunLock(folder):
        assert "is being written by process" in refused(capsys, str(folder))


def test_records_of_another_version_are_refused(make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    folder = make_run(STARTED.model_copy(update={"version": 99}), *trial(0, 0.5))
    assert "version 99" in refused(capsys, str(folder))


def test_an_unknown_metric_is_refused(make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    space = dump(load_space(default_space_path("classification")).to_mapping() | {"objective": {"metric": "beauty"}})
    error = refused(capsys, str(make_run(STARTED, *trial(0, 0.5), space=space)))
    assert "beauty" in error
    assert "search.yaml" in error


CONFIRMED = judge(Measured(LOSS, (1, 2), {3: (0.2, 0.3), 0: (0.5, 0.7)}, 0, (3,)), [{"acc": 0.9}, {"acc": 1.0}])


@pytest.fixture
def confirmed(make_run: Callable[..., Path]) -> Path:
    """A run whose search found trial 1 best and whose confirmation found trial 3."""
    folder = make_run(STARTED, *trial(0, 0.5), *trial(1, 0.1), *trial(2, 0.3), *trial(3, 0.2))
    rebuilt = summarize(folder, 9)
    third = next(entry for entry in rebuilt.top if entry.trial == 3).model_copy(update={"checkpoint": "best"})
    write_best(folder / "best.yaml", BestFile(**{**dict(rebuilt.best), "best": third, "confirmation": CONFIRMED}))
    return folder


def test_best_shows_the_verdict_and_the_confirmed_configuration(confirmed: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["best", str(confirmed)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"# {CONFIRMED.verdict}\n")
    assert "trial: 3" in printed
    assert main(["best", str(confirmed), "--json", "--top", "2"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["confirmation"]["verdict"] == CONFIRMED.verdict
    assert content["best"]["trial"] == 3
    assert [entry["trial"] for entry in content["top"]] == [1, 3]


def test_the_command_prints_the_table_the_verdict_and_what_was_kept(
    confirmed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    asked: list[Any] = []

    def confirm_run(folder: Path, wish: Wish, follower: Any, **settings: Any) -> Confirmed:
        asked.append((folder, wish, settings))
        return Confirmed(summarize(confirmed).best, "4 configurations were asked for and 1 could be measured")

    monkeypatch.setattr(confirming, "confirm_run", confirm_run)
    monkeypatch.chdir(confirmed.parents[1])
    assert main(["confirm", "night", "--top", "4", "--seeds", "2", "--gpus-per-trial", "0.5"]) == 0
    assert asked == [(Path("outputs/night"), Wish(4, 2), {"address": None, "gpus_per_trial": 0.5})]
    captured = capsys.readouterr()
    assert CONFIRMED.verdict in captured.out
    assert "3 (winner)" in captured.out
    assert "0 (base)" in captured.out
    assert "test acc" in captured.out
    assert "the median of 2 on validation rows, not the luckiest" in captured.out
    assert captured.err == "note: 4 configurations were asked for and 1 could be measured\n"
