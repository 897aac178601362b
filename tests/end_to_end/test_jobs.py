"""Searches as jobs of a cluster with dashboard and token, as `bmtune submit`, `status` and `stop` see them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmtune.records import RunFinished
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TOKEN = "canary-of-the-jobs-0123456789abcdef"
PATIENCE_S = 90.0
SPACE = """
trainer: classification
objective: {metric: loss}
budget: {trials: 2, max_epochs: 2, eta: 3, grace: 1}
base: {data: {dataset: rows.csv}}
run: {max_concurrent: 1, confirm: none}
parameters:
  trainer.classification.optimizer.lr: {type: float, low: 1e-4, high: 1e-1, log: true}
"""


def environment(**more: str) -> dict[str, str]:
    """That of a user, who does not have what the tests set for their own cluster."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # The cluster's shell finds `python` there.
    plain["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{plain['PATH']}"
    return {**plain, "RAY_USAGE_STATS_ENABLED": "0", **more}


@dataclass(frozen=True)
class Head:
    """A cluster of one machine.

    Attributes:
        url: Where its dashboard answers.
        home: The home folder of its processes.
        logs: Where they write.
    """

    url: str
    home: Path
    logs: Path


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        ports = [int(server.getsockname()[1]) for server in servers]
    yield ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    # Ray's sockets have long names and the operating system allows 107 characters.
    folder = tmp_path_factory.mktemp("h")
    (folder / "home").mkdir()
    with free_ports(4) as (port, dashboard, agent, client):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
        options = ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        options += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
        options += ["--num-cpus=1", f"--temp-dir={folder / 't'}"]
        given = environment(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=TOKEN,
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
            HOME=str(folder / "home"),
        )
        with (folder / "head.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *options],
                env=given,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
    try:
        wait_for(dashboard)
        yield Head(f"http://127.0.0.1:{dashboard}", folder / "home", folder / "t")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def wait_for(port: int) -> None:
    for _ in range(int(PATIENCE_S / 0.2)):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"nothing answers at port {port} within {PATIENCE_S} s")


def bmtune(folder: Path, *words: str, token: str | None = TOKEN) -> subprocess.CompletedProcess[str]:
    """The command, as a user on another machine has it: with the token, in another folder and another home."""
    secret = {} if token is None else {"RAY_AUTH_TOKEN": token}
    (folder / "elsewhere").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "bmtune", *words],
        cwd=folder,
        env=environment(HOME=str(folder / "elsewhere"), **secret),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A folder with a search space and its data."""
    rows = [f"{x / 10},{(x * 7 % 10) / 10},{'a' if x < 100 else 'b'}" for x in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y,label", *rows]) + "\n")
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def test_a_job_takes_along_what_it_needs_and_its_log_comes_back(head: Head, laptop: Path) -> None:
    words = ["classification", "--space", "space.yaml", "--name", "night", "--address", head.url]
    done = bmtune(laptop, "submit", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "best so far: trial" in done.stdout
    # It lies where it outlives the job: below the home folder of the head.
    records = read_records(head.home / "outputs" / "night" / "records.jsonl").records
    assert isinstance(records[0], RunStarted)
    assert records[0].dataset == "rows.csv"
    assert sum(isinstance(record, TrialFinished) for record in records) == 2
    assert isinstance(records[-1], RunFinished)

    status = bmtune(laptop, "status", "night", "--address", head.url)
    assert (status.returncode, status.stderr) == (0, "")
    assert status.stdout.startswith("night: succeeded, job night-")
    assert "finished (all trials ended)" in status.stdout

    # Workers had the package of the laptop, and nobody wrote the token down.
    assert list(head.logs.glob("session_*/runtime_resources/py_modules_files/*/bmtune/search/jobs.py"))
    written = [path for top in (head.home, head.logs) for path in top.rglob("*") if path.is_file()]
    assert [path for path in written if path.name.startswith("job-driver-night-")]
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in done.stdout + status.stdout


def test_a_job_that_is_stopped_ends_in_good_order(head: Head, laptop: Path) -> None:
    words = [
        "classification",
        "--space",
        "space.yaml",
        "--name",
        "long",
        "--max-epochs",
        "90000",
        "--address",
        head.url,
    ]
    words += ["--set", "trainer.classification.patience=90000", "--no-wait"]
    submitted = bmtune(laptop, "submit", *words)
    assert (submitted.returncode, submitted.stderr) == (0, "")
    assert f"bmtune status long --address {head.url} --follow" in submitted.stdout
    folder = head.home / "outputs" / "long"
    for _ in range(int(PATIENCE_S / 0.5)):
        if (folder / "records.jsonl").exists() and (folder / "records.jsonl").read_bytes().count(b'"epoch"'):
            break
        time.sleep(0.5)
    assert bmtune(laptop, "status", "long", "--address", head.url).stdout.startswith("long: running, job long-")
    # The same run, as somebody on the head sees it.
    assert bmtune(laptop, "status", str(folder)).stdout.startswith(f"{folder}: running, process ")

    stopped = bmtune(laptop, "stop", "long", "--address", head.url)
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert stopped.stdout == "long is stopped; bmtune submit --resume --name long goes on with it\n"
    assert (folder / "best.yaml").exists(), "the search had the time to write what it found"
    assert bmtune(laptop, "status", str(folder)).stdout.startswith(f"{folder}: not running\n")
    again = bmtune(laptop, "stop", "long", "--address", head.url)
    assert (again.returncode, again.stdout.startswith("long has ended before: stopped")) == (0, True)


@pytest.mark.parametrize("command", [("submit", "gan"), ("status", "night"), ("stop", "night")])
@pytest.mark.parametrize("token", [None, "a-wrong-one-0123456789"])
def test_without_the_token_nothing_is_told_and_nothing_runs(
    head: Head, laptop: Path, command: tuple[str, ...], token: str | None
) -> None:
    done = bmtune(laptop, *command, "--address", head.url, token=token)
    assert_one_sentence(done, head.url, "RAY_AUTH_TOKEN")
    assert done.stdout == ""


def test_a_job_that_is_not_there_is_told(head: Head, laptop: Path) -> None:
    for command in ("status", "stop"):
        assert_one_sentence(bmtune(laptop, command, "nothing", "--address", head.url), "'nothing'", head.url)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
