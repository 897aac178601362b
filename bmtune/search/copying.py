"""Copies a run to another place while it goes on, in a thread that no trial and no record ever waits for."""

import os
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

from bmtune.checkpoints import raw_checkpoint
from bmtune.search.copy_place import CopyPlace
from bmtune.search.copy_plan import Stamp
from bmtune.search.copy_plan import Step
from bmtune.search.copy_plan import is_copied
from bmtune.search.copy_plan import removed
from bmtune.search.copy_plan import steps
from bmtune.search.copy_plan import whole_lines
from bmtune.search.old_run import RECORDS_FILE

EVERY_S = 30.0
"""Seconds between two looks at what has changed."""

AGAIN_S = 2.0
"""Seconds between two attempts when the search has ended."""

IDLE_S = 30.0
"""Seconds without a file copied after which an ended search waits no more."""


class Copier:
    """Keeps a copy of a run folder.

    Attributes:
        lag: Why the copy is behind; None: it is not, or that has not been seen.
    """

    def __init__(
        self, folder: Path, place: CopyPlace, tell: Callable[[str], None], every_s: float | None = None
    ) -> None:
        """A copier that has not begun.

        Args:
            folder: The run, which need not be there yet.
            place: Where the copy is.
            tell: Takes a sentence for the user, in another thread.
            every_s: Seconds between two looks; None: `EVERY_S`.
        """
        self._folder = folder
        self._place = place
        self._tell = tell
        self._every_s = EVERY_S if every_s is None else every_s
        self._there: dict[str, Stamp | None] | None = None
        self._ending, self._broken_off = threading.Event(), threading.Event()
        self._moved = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="copying", daemon=True)
        self.lag: str | None = None

    def begin(self) -> None:
        """Copies from here on."""
        self._thread.start()

    def finish(self, left: Callable[[], float | None] = lambda: None) -> str | None:
        """Copies what is left, and returns what is not there then, in words; None: all is.

        Args:
            left: Seconds that there still are; None: as long as files come through.
        """
        self._moved = time.monotonic()
        self._ending.set()
        while self._thread.is_alive():
            bound = left()
            if bound == 0 or time.monotonic() - self._moved > IDLE_S:
                break
            self._thread.join(0.1 if bound is None else min(0.1, bound))
        self._broken_off.set()
        missing = [path for step in steps(stamps(self._folder), self._there or {}) for path in step.paths]
        if not missing:
            return None
        reason = f" ({self.lag})" if self.lag else ""
        return f"the copy at {self._place.shown} is not whole: {len(missing)} files are not there yet{reason}"

    def copy(self) -> None:
        """Brings the copy up to what is here now.

        Raises:
            OSError: The place refuses.
        """
        if self._there is None:
            self._there = dict.fromkeys(self._place.names())
        # What is gone before the records are read, they do not miss; what they name is there after they were read.
        before = stamps(self._folder)
        records = self._folder / RECORDS_FILE
        told = whole_lines(records.read_bytes()) if records.exists() else b""
        here = stamps(self._folder)
        for step in steps(here, self._there):
            self._put(step, here, told)
        for path in removed(before.keys() | here.keys(), self._there):
            self._check()
            self._place.remove(path)
            del self._there[path]

    def _put(self, step: Step, here: Mapping[str, Stamp], told: bytes) -> None:
        contents = self._contents(step, told)
        if contents is None:
            return
        assert self._there is not None, "it was listed"
        if step.shelter is not None:
            for path in step.paths:
                sheltered = f"{step.shelter}/{Path(path).name}"
                self._place.duplicate(path, sheltered)
                self._there[sheltered] = None
        for path, content in zip(step.paths, contents, strict=True):
            self._check()
            # Until it is whole there, nobody knows what is.
            self._there[path] = None
            self._place.write(path, content)
            self._moved = time.monotonic()
        # What has changed since it was looked at has another stamp by now, and is copied again.
        self._there |= {path: here.get(path) for path in step.paths}

    def _contents(self, step: Step, told: bytes) -> tuple[bytes, ...] | None:
        """The contents of the files of a step; None where they are gone."""
        if step.folder is not None:
            found = raw_checkpoint(self._folder / step.folder)
            return None if found is None else (found[1], found[0])
        if step.paths == (RECORDS_FILE,):
            return (told,) if told else None
        try:
            return ((self._folder / step.paths[0]).read_bytes(),)
        except FileNotFoundError:
            return None

    def _check(self) -> None:
        if self._broken_off.is_set():
            raise InterruptedError("there was no time left")

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self._try()
        while not self._try() and not self._broken_off.wait(AGAIN_S):
            pass

    def _try(self) -> bool:
        try:
            self.copy()
        # pyarrow raises OSErrors, its own errors and more; a copy is no reason to disturb a search.
        except Exception as error:
            if self.lag is None and not self._ending.is_set():
                self._tell(f"the copy at {self._place.shown} is behind; trying again ({_shown(error)})")
            if self.lag is None or not self._broken_off.is_set():
                # That time ran out explains less than what went wrong before.
                self.lag = _shown(error)
            return False
        if self.lag is not None and not self._ending.is_set():
            self._tell(f"the copy at {self._place.shown} is up to date again")
        self.lag = None
        return True


def stamps(folder: Path) -> dict[str, Stamp]:
    """The files of a run folder that belong to its copy, by path; links are not followed."""
    found: dict[str, Stamp] = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if not is_copied(relative):
                continue
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue
            if path.is_file() and not path.is_symlink():
                found[relative] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    return found


def _shown(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
