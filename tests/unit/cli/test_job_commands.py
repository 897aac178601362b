"""`bmtune submit`, `status` and `stop`, with stand-ins for cluster and process."""

from collections.abc import Callable
from pathlib import Path
from types import NoneType
from types import UnionType
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

import pytest
import typer.main

import bmtune.cli.searching as searching
import bmtune.cli.standing as standing
import bmtune.cli.submitting as submitting
from bmtune.cli.app import app
from bmtune.cli.app import main
from bmtune.cli.search import search
from bmtune.cli.submitting import parsed
from bmtune.cli.submitting import request_of
from bmtune.errors import RunFolderError
from bmtune.search.job_plan import JobPlan
from bmtune.search.jobs import Job
from bmtune.search.local_run import Writer
from bmtune.search.request import SearchRequest

URL = "http://127.0.0.1:8265"
SAMPLES = {"time_budget": "10m", "assignments": "born.bond_dim=8", "resource": "A100=0.25", "gpus_per_trial": "0.25"}
"""Values of options that take a text of a certain form; others get one by their kind."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Server:
    """Stands for a cluster with one job."""

    job = Job("night-1", "night", "~/outputs/night", "RUNNING")
    log_text = "[ 0 s] starting\n[ 1 s] best so far\n# the best configuration, kept in x\nformat: bmtune.best\n"

    def __init__(self) -> None:
        self.address = ""
        self.plans: list[JobPlan] = []
        self.stopped: list[str] = []
        self.ends_as = Job("night-1", "night", "~/outputs/night", "SUCCEEDED", exit_code=0)
        self.interrupts = False
        self.pieces = ["[ 0 s] starting\n"]

    def __call__(self, address: str) -> "Server":
        self.address = address
        return self

    def submit(self, plan: JobPlan, folder: Path) -> Job:
        self.plans.append(plan)
        return self.job

    def find(self, run: str) -> Job:
        if run != "night":
            raise RunFolderError(f"none called {run!r}")
        return self.job

    def follow(self, job: Job, write: Callable[[str], Any]) -> Job:
        for text in self.pieces:
            write(text)
        if self.interrupts:
            raise KeyboardInterrupt
        return self.ends_as

    def log(self, job: Job) -> str:
        return self.log_text

    def stop(self, job: Job) -> None:
        self.stopped.append(job.id)

    def wait(self, job: Job, patience_s: float) -> Job:
        return self.ends_as


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(submitting, "JobServer", found)
    monkeypatch.setattr(standing, "JobServer", found)
    return found


def sample(parameter: Any) -> list[str]:
    """An option with a value that it takes."""
    option, kind = parameter.opts[0], get_type_hints(search)[parameter.name]
    if get_origin(kind) in (UnionType, Union):
        (kind,) = (member for member in get_args(kind) if member is not NoneType)
    if kind is bool:
        return [option]
    known = get_args(kind)[0] if get_origin(kind) is Literal else {int: "2", float: "0.5"}.get(kind, "x")
    return [option, SAMPLES.get(parameter.name, known)]


def test_a_job_searches_what_bmtune_search_would_search_whatever_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SearchRequest] = []
    monkeypatch.setattr(searching, "run", lambda request, **_: asked.append(request))
    command = typer.main.get_command(app).commands["search"]  # type: ignore[attr-defined]
    options = [parameter for parameter in command.params if parameter.name not in ("trainer", "dry_run")]
    assert len(options) > 20
    for parameter in options:
        words = ["gan", *sample(parameter)]
        main(["search", *words])
        given, _ = parsed(words)
        assert request_of(given) == asked.pop(), parameter.name
        assert given.keys() == {"trainer", parameter.name}
    assert not asked


def test_words_of_a_search_and_of_the_submission_may_stand_in_any_order(server: Server) -> None:
    assert main(["submit", "--trials", "3", "gan", "--address", URL, "--name", "night", "--no-wait"]) == 0
    assert server.address == URL
    (plan,) = server.plans
    assert {"--trials=3", "gan", "--name=night"} <= set(plan.command.split())


def test_the_log_of_a_job_comes_and_its_search_gives_the_exit_code(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", "gan", "--name", "night"]) == 0
    out = capsys.readouterr().out
    assert out == ("night is job night-1 and will lie in ~/outputs/night on the head of the cluster\n[ 0 s] starting\n")
    server.ends_as = Job("night-1", "night", None, "FAILED", exit_code=2)
    assert main(["submit", "gan", "--name", "night"]) == 2
    assert capsys.readouterr().err == ""
    server.ends_as = Job("night-1", "night", None, "FAILED", message="no such\npackage")
    assert main(["submit", "gan", "--name", "night"]) == 1
    assert "failed before its search began: no such\\npackage" in capsys.readouterr().err
    server.ends_as = Job("night-1", "night", None, "STOPPED")
    assert main(["submit", "gan", "--name", "night"]) == 1
    assert "night is stopped" in capsys.readouterr().err


def test_ctrl_c_leaves_the_job_running_and_says_how_to_reach_it(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.interrupts = True
    assert main(["submit", "gan", "--name", "night"]) == 130
    err = capsys.readouterr().err
    assert f"bmtune status night --address {URL} --follow" in err
    assert f"bmtune stop night --address {URL}" in err
    assert server.stopped == []


def test_no_log_commands_the_terminal_or_shows_a_secret(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-0123456789")
    server.pieces = ["one\ttwo\x1b[2J", " canary-0123456789\nthree", "\n"]
    assert main(["submit", "gan", "--name", "night"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["one     two\\x1b[2J ***", "three"]
    server.log_text = "one\x1b[2J canary-0123456789\n"
    assert main(["status", "night", "--address", URL]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["  one\\x1b[2J ***"]


def test_a_dry_run_asks_nobody(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "gan", "--name", "night", "--dry-run"]) == 0
    assert server.plans == []
    out = capsys.readouterr().out
    assert "python -m bmtune search" in out
    assert "--dry-run" not in out
    assert "files/gan.yaml would go along" in out


@pytest.mark.parametrize("words", [["--trails", "3"], ["--trials", "x"], ["surplus"]])
def test_what_bmtune_search_would_not_take_is_refused_before_anybody_is_asked(
    server: Server, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["submit", "gan", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert server.plans == []


def test_the_status_of_a_job_has_the_last_events_of_its_log(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "night", "--address", URL]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "night: running, job night-1",
        "folder: ~/outputs/night on the head of the cluster",
        "  [ 0 s] starting",
        "  [ 1 s] best so far",
    ]
    server.job = Job("night-1", "night", None, "FAILED", exit_code=2)
    assert main(["status", "night", "--address", URL]) == 0
    assert capsys.readouterr().out.startswith("night: failed with exit code 2, job night-1\n  [ 0 s] starting\n")
    assert main(["status", "night", "--address", URL, "--follow"]) == 0
    assert capsys.readouterr().out == "[ 0 s] starting\n"
    assert main(["status", "day", "--address", URL]) == 2


def test_a_job_is_stopped_and_can_go_on(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.ends_as = Job("night-1", "night", "/runs/night", "STOPPED")
    assert main(["stop", "night", "--address", URL]) == 0
    assert server.stopped == ["night-1"]
    assert capsys.readouterr().out == (
        "night is stopped; bmtune submit --resume --name night --storage /runs goes on with it\n"
    )
    server.job = Job("night-1", "night", "~/outputs/night", "SUCCEEDED")
    assert main(["stop", "night", "--address", URL]) == 0
    assert server.stopped == ["night-1"], "nothing is left to stop"
    assert "has ended before" in capsys.readouterr().out


def test_a_job_with_a_copy_elsewhere_goes_on_from_there(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.ends_as = Job("night-1", "night", "s3://bucket/runs/night", "STOPPED")
    assert main(["stop", "night", "--address", URL]) == 0
    assert "submit --resume --name night --storage s3://bucket/runs goes on" in capsys.readouterr().out
    server.job = server.ends_as
    assert main(["status", "night", "--address", URL]) == 0
    assert "folder: s3://bucket/runs/night\n" in capsys.readouterr().out


def test_a_job_that_does_not_end_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.ends_as = server.job
    assert main(["stop", "night", "--address", URL]) == 1
    assert "has not yet" in capsys.readouterr().out


def test_the_status_of_a_run_here_says_whether_it_goes_on(
    write_run: Callable[..., Path],
    told: type[Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = write_run(told([0.5]), ended=False)
    assert main(["status", str(run)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{run}: not running",
        "trials: 1 of 8 started (1 completed)",
        "epochs: 1",
        "best: trial 0, epoch 1: loss 0.5, acc 0.5",
    ]
    monkeypatch.setattr(standing, "is_being_written", lambda folder: True)
    monkeypatch.setattr(standing, "writer", lambda folder: Writer(71, "lab"))
    assert main(["status", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"{run}: running, process 71 on lab\n")


def test_a_run_here_is_stopped_and_can_go_on(
    write_run: Callable[..., Path],
    told: type[Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = write_run(told([0.5]), ended=False)
    assert main(["stop", str(run)]) == 2
    assert "nobody is writing" in capsys.readouterr().err
    stopped: list[Path] = []
    monkeypatch.setattr(standing, "stop_run", lambda folder: stopped.append(folder) or Writer(71, "lab"))
    assert main(["stop", str(run)]) == 0
    assert stopped == [run]
    assert f"bmtune search --resume --name night --storage {run.parent} goes on with it" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["status", "nothing"], ["stop", "nothing"], ["status", "x", "--follow"]])
def test_what_is_not_there_is_told_in_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
