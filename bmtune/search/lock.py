"""One writer a run: a lock of the operating system that ends with the process that holds it, however that ends."""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from bmtune.errors import RunFolderError

LOCK_FILE = ".lock"


class RunLock:
    """The right to write a run folder; a context that holds it.

    The file stays when the lock is given back: whoever removed it could remove the one that another has just locked.
    """

    def __init__(self, folder: Path) -> None:
        """A lock that is not held yet; the folder exists."""
        self._path = folder / LOCK_FILE
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            RunFolderError: Another process holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "a process"
            os.close(descriptor)
            raise RunFolderError(
                f"a run is written by one process at a time, but {self._folder} is being written by {holder}; "
                "wait for its end, or end it"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def check_unlocked(folder: Path) -> None:
    """Refuses a run that another process writes at this moment.

    Raises:
        RunFolderError: There is one.
    """
    if (folder / LOCK_FILE).exists():
        with RunLock(folder):
            pass
