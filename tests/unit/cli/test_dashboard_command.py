import importlib.util
import os
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bmtune.cli.dashboarding as dashboarding
import bmtune.search.dashboard
from bmtune.cli.app import main
from bmtune.cli.dashboarding import RunNote
from bmtune.config.best import BestFile
from bmtune.config.space import load_space
from bmtune.config.yaml_text import parse
from bmtune.records import read_records

# Optuna's page takes a second to import.
pytestmark = pytest.mark.slow

Write = Callable[..., Path]
Tell = Callable[..., Any]


def text_of(folder: Path) -> str:
    note = RunNote(folder, load_space(folder / "search.yaml"))
    for record in read_records(folder / "records.jsonl").records:
        note.on_record(record)
    return note.text()


def test_the_note_of_a_run_is_the_file_that_best_prints(
    write_run: Write, told: Tell, capsys: pytest.CaptureFixture[str]
):
    folder = write_run(told((0.5, 0.4)), told((0.45,), "pruned"))
    text = text_of(folder)
    assert text.startswith("**Trial 0 is the best so far: loss 0.4, acc 0.6 at epoch 2.**")
    assert "The search has ended: 2 of 8 trials, 1 completed, 1 pruned. Halving chose" in text
    content = text.partition("```yaml\n")[2].partition("```")[0]
    assert BestFile.model_validate(parse(content, "note")).best.trial == 0
    assert main(["best", str(folder)]) == 0
    assert capsys.readouterr().out == content


def test_a_confirmed_run_begins_with_its_verdict(write_run: Write, told: Tell, monkeypatch: pytest.MonkeyPatch):
    folder = write_run(told((0.5, 0.4)))
    confirmed = SimpleNamespace(
        best=None,
        pareto=(),
        confirmation=SimpleNamespace(verdict="trial 0 confirmed"),
        model_dump=lambda mode: {"a": 1},
    )
    monkeypatch.setattr(dashboarding, "best_of", lambda *asked: (confirmed, ()))
    assert text_of(folder).startswith("**trial 0 confirmed.** `bmtune train` takes this as a file:\n\n```yaml\na: 1\n")


def test_the_note_of_a_run_without_a_value_says_so(write_run: Write, told: Tell):
    text = text_of(write_run(told((), None), ended=False))
    assert text.startswith("**No trial has finished an epoch of its main phase yet.**")
    assert "The search has not ended: 1 of 8 trials, 1 running." in text


@pytest.fixture
def stood(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A dashboard that ends as soon as it is waited for, and what it was asked."""
    asked: list[tuple[Any, ...]] = []

    @contextmanager
    def serve(folder: Path, tell: Any, port: int) -> Iterator[Any]:
        asked.append((folder, port))
        os.kill(os.getpid(), signal.SIGTERM)
        yield SimpleNamespace(url="http://127.0.0.1:7/x", mirror=SimpleNamespace(best=None))
        asked.append(("ended",))

    monkeypatch.setattr(bmtune.search.dashboard, "dashboard", serve)
    monkeypatch.setattr(dashboarding, "links", lambda folder: ["Ray: http://somewhere"])
    return asked


def test_the_address_is_printed_and_opened(
    stood: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)))
    before = signal.getsignal(signal.SIGTERM)
    assert main(["dashboard", "night", "--port", "7"]) == 0
    assert stood == [(Path("night"), 7), ("ended",)]
    assert opened == ["http://127.0.0.1:7/x"]
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "dashboard: http://127.0.0.1:7/x (Ctrl-C ends it)",
        "Ray: http://somewhere",
        "the dashboard has ended",
    ]
    assert "no trial has finished an epoch" in shown.err
    assert "no browser was found" in shown.err
    assert signal.getsignal(signal.SIGTERM) == before


def test_no_browser_is_opened_where_none_is_wanted(stood: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("it was opened"))
    assert main(["dashboard", "night", "--no-open"]) == 0
    assert stood == [(Path("night"), 0), ("ended",)]


def test_without_its_package_the_dashboard_says_how_to_get_it(
    write_run: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[str] = []
    monkeypatch.setattr(dashboarding, "find_spec", lambda name: asked.append(name))
    assert main(["dashboard", str(write_run()), "--no-open"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'bmtune[dashboard]'" in error
    assert error.count("\n") == 1
    assert asked == ["optuna_dashboard"]
    assert importlib.util.find_spec("optuna_dashboard") is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["/no/such/run"], "a run must be a folder with search.yaml and records.jsonl, but /no/such/run is not"),
        (["night", "--port", "70000"], "should be less than or equal to 65535"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(options: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    assert main(["dashboard", *options, "--no-open"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_ctrl_c_ends_the_dashboard_and_leaves_nothing(write_run: Write, told: Tell):
    process = subprocess.Popen(
        [sys.executable, "-m", "bmtune", "dashboard", str(write_run(told((0.5,)))), "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        assert process.stdout.readline().startswith("dashboard: http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        timer.cancel()
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "the dashboard has ended"
    # Nobody of its process group is left.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
