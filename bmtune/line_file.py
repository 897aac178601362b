"""A file of lines that only grows, in which no line is ever half there for long. Standard library only."""

import os
from collections.abc import Callable
from pathlib import Path

from bmtune.disk_space import Patience


class LineFile:
    """Appends lines, and knows which of them are on the disk; one writer a file.

    A line is in the file wholly or not at all: where the disk is full, what was written of it is cut off again.
    """

    def __init__(self, path: Path, patience: Patience | None = None) -> None:
        """Opens `path` for appending.

        Args:
            path: The file.
            patience: How a full disk is waited for; None: it is an error.
        """
        self._path = path
        self._patience = patience
        self._file = path.open("ab", buffering=0)
        self._size = self._kept = os.fstat(self._file.fileno()).st_size
        self._unsynced: list[bytes] = []
        self._doubtful = False

    def append(self, line: bytes) -> None:
        """Hands a line to the operating system.

        Raises:
            OSError: The disk refuses, or is full and nobody waits; the file is as it was.
        """
        self._patiently(lambda: self._append(line))
        self._unsynced.append(line)

    def sync(self) -> None:
        """Returns when everything appended so far is on the disk.

        Raises:
            OSError: See `append`.
        """
        self._patiently(self._sync)
        self._unsynced.clear()

    def close(self) -> None:
        """Syncs and closes the file; nothing where it is closed already."""
        if self._file.closed:
            return
        try:
            self.sync()
        finally:
            self._file.close()

    def _patiently(self, work: Callable[[], None]) -> None:
        if self._patience is None:
            work()
        else:
            self._patience.wait_for_room(work, self._path.name, self._path.parent)

    def _append(self, line: bytes) -> None:
        rest, whole = memoryview(line), False
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            whole = True
        finally:
            if not whole:
                self._file.truncate(self._size)
        self._size += len(line)

    def _sync(self) -> None:
        # Quotas and network disks may refuse as late as here, and then drop what they had taken: it is written again.
        if self._doubtful:
            self._size = self._kept
            self._file.truncate(self._size)
            for line in self._unsynced:
                self._append(line)
        self._doubtful = True
        os.fsync(self._file.fileno())
        self._doubtful, self._kept = False, self._size
