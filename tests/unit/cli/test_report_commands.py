import csv
import io
import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmtune.cli.app import main

Write = Callable[..., Path]
Tell = Callable[..., Any]


def test_a_report_is_written_into_the_run_folder(write_run: Write, told: Tell, capsys: pytest.CaptureFixture[str]):
    folder = write_run(told((0.5, 0.4)))
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.startswith(f"report: {folder / 'report.html'} (0.")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert not list(folder.glob(".*.new"))


def test_a_run_is_found_by_its_name_below_outputs(
    write_run: Write, told: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_run(told((0.5,)), name="night").rename(tmp_path / "moved")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "moved").rename(tmp_path / "outputs" / "night")
    monkeypatch.chdir(tmp_path)
    assert main(["report", "night", "--output", "page.html"]) == 0
    assert (tmp_path / "page.html").is_file()


def test_open_shows_the_page_in_a_browser(
    write_run: Write, told: Tell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = write_run(told((0.5,)))
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(shown.append(address)))
    assert main(["report", str(folder), "--open"]) == 0
    assert shown == [(folder / "report.html").as_uri()]
    assert "no browser was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "fid"], "'fid' was not (command line: --metric); these were: train/loss, acc, loss"),
        (["--output", "/no/such/folder/page.html"], "a page must lie where files can be written"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    write_run: Write, told: Tell, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["report", str(write_run(told((0.5,)))), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_run_whose_trials_all_failed_has_a_report(write_run: Write, told: Tell, capsys: pytest.CaptureFixture[str]):
    folder = write_run(told(status="failed", reason="burst"), ended=False)
    assert main(["report", str(folder)]) == 0
    assert "all 1 trial failed" in (folder / "report.html").read_text()


def test_an_export_goes_to_standard_output(write_run: Write, told: Tell, capsys: pytest.CaptureFixture[str]):
    folder = write_run(told((0.1 + 0.2, 0.4)))
    assert main(["export", str(folder)]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["value"]) == 0.1 + 0.2
    assert main(["export", str(folder), "--format", "json", "--table", "epochs"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["epoch"], row["metrics.loss"]) for row in rows] == [(1, 0.1 + 0.2), (2, 0.4)]


def test_an_export_goes_to_a_file(write_run: Write, told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from pyarrow import parquet

    folder = write_run(told((0.5, 0.4)))
    for kind in ("csv", "json", "parquet"):
        path = tmp_path / f"table.{kind}"
        assert main(["export", str(folder), "--table", "epochs", "--format", kind, "--output", str(path)]) == 0
        assert f"2 rows, 11 columns: {path}" in capsys.readouterr().err
    assert parquet.read_table(tmp_path / "table.parquet").num_rows == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "parquet"], "--format parquet must have a file to write"),
        (["--output", "/no/such/folder/t.csv"], "a table must lie where files can be written"),
        (
            ["--format", "parquet", "--output", "/no/such/folder/t.parquet"],
            "a table must lie where files can be written",
        ),
    ],
)
def test_an_export_that_cannot_be_is_one_sentence(
    write_run: Write, told: Tell, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["export", str(write_run(told((0.5,)))), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_runs_are_compared_on_the_terminal_and_as_a_page(
    write_run: Write, told: Tell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    one, two = write_run(told((0.5, 0.4)), name="one"), write_run(told((0.3,)), name="two", ended=False)
    page = tmp_path / "compare.html"
    assert main(["compare", str(one), str(two), "--html", str(page)]) == 0
    shown = capsys.readouterr()
    assert "lowest loss" in shown.out
    assert "33 % higher" in shown.out
    assert "best, not ended" in shown.out
    assert "best loss so far, by epochs of all trials" in shown.out
    assert "1 run of 2 has not ended" in shown.err
    assert "2 runs compared" in page.read_text()


def test_runs_that_cannot_be_compared_are_refused(write_run: Write, told: Tell, capsys: pytest.CaptureFixture[str]):
    one, two = write_run(told((0.5,)), name="one"), write_run(told((0.3,)), name="two", data_hash="cd" * 32)
    assert main(["compare", str(one), str(two)]) == 2
    error = capsys.readouterr().err
    assert "runs to compare must have the same data" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["report", "export", "compare"])
def test_a_folder_without_a_run_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([command, str(tmp_path)]) == 2
    assert "a run must be a folder with records.jsonl" in capsys.readouterr().err
