"""A search in a process of its own that is told to end, as a batch system or a user does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bmtune.audit import audit
from bmtune.config.best import read_best
from bmtune.config.space import load_space
from bmtune.records import Epoch
from bmtune.records import RunFinished
from bmtune.records import read_records
from bmtune.search.state import SearchState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE_S = 120.0
MARK = "BMTUNE_TEST_OF_AN_END"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    plain["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "bmtune", "search", "classification", "--dataset", "moons_small", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**plain, MARK: str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def has_epochs(records: Path) -> bool:
    return records.exists() and any(isinstance(record, Epoch) for record in read_records(records).records)


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that the search started and that are still there."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"{MARK}={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            # It is none, has gone, or belongs to somebody else.
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it looks for processes in /proc")
@pytest.mark.parametrize(
    ("numbers", "code"),
    [((signal.SIGTERM,), 143), ((signal.SIGINT, signal.SIGINT), 130)],
    ids=["SIGTERM", "Ctrl-C twice"],
)
def test_a_search_that_is_told_to_end_does_and_loses_nothing(
    tmp_path: Path, numbers: tuple[signal.Signals, ...], code: int
) -> None:
    run = tmp_path / "runs" / "short"
    process = start(tmp_path, "--trials", "500", "--max-epochs", "500", "--storage", "runs", "--name", "short")
    try:
        until = time.monotonic() + PATIENCE_S
        while not has_epochs(run / "records.jsonl"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.2)
        for number in numbers:
            # As a terminal does: to all of them.
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            time.sleep(0.3)
        said, complained = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in said + complained
    assert "interrupted" in complained
    assert "go on with: bmtune search classification --name short --resume --storage runs" in complained
    assert left_over(tmp_path) == []
    records = read_records(run / "records.jsonl").records
    assert audit(records) == []
    assert not any(isinstance(record, RunFinished) for record in records)
    state = SearchState.replay(load_space(run / "search.yaml"), records)
    assert state.running
    if len(numbers) == 1:
        assert read_best(run / "best.yaml").trials.total == state.num_started
