"""Who writes a run on this machine, and that no other process is ever ended."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from bmtune.errors import RunFolderError
from bmtune.search.local_run import Writer
from bmtune.search.local_run import is_being_written
from bmtune.search.local_run import stop_run
from bmtune.search.local_run import writer
from bmtune.search.lock import LOCK_FILE
from bmtune.search.lock import RunLock

HOLDER = """
import signal, sys, time
from pathlib import Path
from bmtune.search.lock import RunLock
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2:] else lambda *_: sys.exit(143))
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holding(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that holds the lock of a run in `tmp_path`."""
    started: list[subprocess.Popen[str]] = []

    def hold(*more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), *more],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_that_nobody_writes_is_left_alone(tmp_path: Path) -> None:
    assert not is_being_written(tmp_path)
    assert list(tmp_path.iterdir()) == [], "asking leaves nothing behind"
    with RunLock(tmp_path):
        pass
    assert (is_being_written(tmp_path), writer(tmp_path)) == (False, None)
    with pytest.raises(RunFolderError, match="nobody is writing"):
        stop_run(tmp_path)


@pytest.mark.slow
def test_the_process_that_writes_is_told_to_end(tmp_path: Path, holding: Callable[..., subprocess.Popen[str]]) -> None:
    process = holding()
    assert is_being_written(tmp_path)
    assert writer(tmp_path) == Writer(process.pid, socket.gethostname())
    assert stop_run(tmp_path) == Writer(process.pid, socket.gethostname())
    assert process.wait(10) == 143
    assert not is_being_written(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="which files a process has open is read from /proc")
def test_a_process_that_is_not_the_one_that_writes_is_not_ended(
    tmp_path: Path, holding: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(pid))
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda handle, number: sent.append(handle))
    process = holding()
    (tmp_path / LOCK_FILE).write_text(f"process {os.getppid()} on {socket.gethostname()}\n")
    with pytest.raises(RunFolderError, match="is not seen from here to write"):
        stop_run(tmp_path)
    (tmp_path / LOCK_FILE).write_text(f"process {process.pid} on elsewhere\n")
    with pytest.raises(RunFolderError, match=f"process {process.pid} on elsewhere; end it there"):
        stop_run(tmp_path)
    (tmp_path / LOCK_FILE).write_text("")
    with pytest.raises(RunFolderError, match="being written by a process"):
        stop_run(tmp_path)
    assert sent == []
    assert process.poll() is None


@pytest.mark.slow
def test_a_search_that_does_not_end_is_told(tmp_path: Path, holding: Callable[..., subprocess.Popen[str]]) -> None:
    process = holding("deaf")
    with pytest.raises(RunFolderError, match=f"kill -9 {process.pid}"):
        stop_run(tmp_path, patience_s=0.3)
