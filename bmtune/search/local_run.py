"""The process that writes a run on this machine, known by the lock of the run; and its end in good order."""

import fcntl
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from bmtune.errors import RunFolderError
from bmtune.search.lock import LOCK_FILE

PATIENCE_S = 30.0
"""Seconds that a search may take to end; it takes ten at most."""

_HOLDER = re.compile(r"process (\d+) on (\S+)")


@dataclass(frozen=True)
class Writer:
    """Who writes a run.

    Attributes:
        pid: Number of the process.
        host: Name of its machine.
    """

    pid: int
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        """As a part of a sentence."""
        return f"process {self.pid} on {self.host}"


def is_being_written(folder: Path) -> bool:
    """Whether a process holds the lock of a run; nothing is changed."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def writer(folder: Path) -> Writer | None:
    """Who writes a run at this moment; None where nobody does, or its lock does not say."""
    if not is_being_written(folder):
        return None
    found = _HOLDER.match((folder / LOCK_FILE).read_text(errors="replace"))
    return Writer(int(found[1]), found[2]) if found else None


def stop_run(folder: Path, patience_s: float = PATIENCE_S) -> Writer:
    """Sends SIGTERM to the process that holds the lock of a run, and waits until it has given it back.

    Args:
        folder: The run.
        patience_s: Seconds to wait.

    Returns:
        The process, which has ended the run.

    Raises:
        RunFolderError: No process of this machine is known to write the run, or it has not ended in time.
    """
    if not is_being_written(folder):
        raise RunFolderError(
            f"a run must be going on to be stopped, but nobody is writing {folder}; `bmtune status {folder}` shows it"
        )
    found = writer(folder)
    if found is None or not found.is_here:
        raise RunFolderError(
            f"a run is stopped on the machine of its search, but {folder} is being written by {found or 'a process'}; "
            "end it there"
        )
    _terminate(found, folder)
    until = time.monotonic() + patience_s
    while is_being_written(folder):
        if time.monotonic() > until:
            raise RunFolderError(
                f"a search must end within {patience_s:g} s of SIGTERM, but {found} still writes {folder}; wait, or "
                f"end it with kill -9 {found.pid}: its records stay whole"
            )
        time.sleep(0.1)
    return found


def _terminate(found: Writer, folder: Path) -> None:
    """Sends SIGTERM, where the process of that number is really the one that has the lock open.

    Where the operating system has handles of processes, the number cannot pass to another one in between.

    Raises:
        RunFolderError: It is another one.
    """
    handle: int | None = None
    try:
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(found.pid)
        if not _has_open(found.pid, folder / LOCK_FILE):
            raise ProcessLookupError
        if handle is None:
            os.kill(found.pid, signal.SIGTERM)
        else:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except (ProcessLookupError, PermissionError) as error:
        raise RunFolderError(
            f"only the process that writes a run may be ended, but {found} is not seen from here to write {folder}; "
            "end the search where it was started"
        ) from error
    finally:
        if handle is not None:
            os.close(handle)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open, as far as the operating system tells; where it does not, the lock is believed.

    Raises:
        PermissionError: The process is somebody else's.
    """
    descriptors = Path(f"/proc/{pid}/fd")
    if not Path("/proc/self/fd").is_dir():
        return True
    wanted = path.stat()
    for link in descriptors.iterdir() if descriptors.is_dir() else ():
        try:
            found = link.stat()
        except OSError:
            # It was closed at this moment, or is no file.
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False
