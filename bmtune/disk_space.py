"""A disk that is full: work that writes waits until there is room, and the user is told. Standard library only."""

import errno
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

EVERY_S = 3.0
"""Seconds between two attempts."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")

Result = TypeVar("Result")


def is_full(error: BaseException) -> bool:
    """Whether this error, or one that it came from, says that a disk or a quota is full."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno in _FULL:
            return True
        if isinstance(found, sqlite3.Error) and getattr(found, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        found = found.__cause__ or found.__context__
    return False


def free_space(path: Path) -> str:
    """How much is free where `path` is or would be, in words."""
    place = next((folder for folder in (path, *path.resolve().parents) if folder.exists()), Path("/"))
    size = float(shutil.disk_usage(place).free)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.3g} {unit} free"


@dataclass(frozen=True)
class Patience:
    """How long whoever writes waits for room: as long as it takes.

    Attributes:
        tell: Takes a sentence for the user when waiting begins, and one when it is over.
        rest: Passes so many seconds; it may raise to end the waiting.
        every_s: Seconds between two attempts.
    """

    tell: Callable[[str], None]
    rest: Callable[[float], None] = time.sleep
    every_s: float = EVERY_S

    def wait_for_room(self, work: Callable[[], Result], what: str, place: Path) -> Result:
        """Does `work`, again and again while a disk is full; what has failed so must be as if it had not begun.

        Args:
            work: Writes.
            what: What it writes, for the user.
            place: Where it writes.

        Raises:
            Exception: What `work` raised for any other reason, or `rest` did.
        """
        waited = False
        while True:
            try:
                found = work()
            except Exception as error:
                if not is_full(error):
                    raise
                if not waited:
                    self.tell(
                        f"the disk is full: {what} cannot be written in {place} ({free_space(place)}); the search "
                        f"waits, tries again every {self.every_s:g} s and loses nothing; make room, or press Ctrl-C"
                    )
                waited = True
            else:
                if waited:
                    self.tell(f"there is room again in {place} ({free_space(place)}): the search goes on with {what}")
                return found
            # Outside of the handler: what ends the waiting was not caused by the full disk.
            self.rest(self.every_s)
