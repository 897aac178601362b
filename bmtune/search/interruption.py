"""Ctrl-C and its kin: the first one ends a search in good order and in seconds, the second one at once."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from types import TracebackType
from typing import Any
from typing import Self
from typing import TypeVar

from bmtune.errors import StoppedBySignalError
from bmtune.search.children import children
from bmtune.search.children import end_children

TRIALS_S = 4.0
"""Seconds that trials have to finish their epoch and to write their checkpoints."""

STUCK_S = 5.0
"""Seconds after which the main thread is taken to hang: where a signal has ended Ray's own processes, Ray waits."""

WINNER_S = 6.0
"""Seconds after which nothing is measured any more."""

ORDERLY_S = 8.0
"""Seconds after which a search that has not ended in good order leaves at once: a machine may be taken away in ten."""

LOOK_EVERY_S = 5.0
"""Seconds between two looks at the processes of the search, so that they are known when their parents have gone."""

Result = TypeVar("Result")


class _TooLongError(KeyboardInterrupt):
    """What ends by itself after a signal has taken too long."""


def _leave(code: int) -> None:
    os._exit(code)


class Interruption:
    """The signals that end a search, heard while its context is open in the main thread.

    The first one raises `StoppedBySignalError`, or, while `deferred` is open, is noted only. Any further one, of
    whatever kind, leaves at once: the processes of the search are killed and nothing is waited for. The records need no
    more: every one of them was handed to the operating system when it was written.

    Attributes:
        signal: The first signal that came, or None.
        advice: How to go on with the search, as soon as there is something to go on from.
        rescue: Does what the end of a search must not miss, in another thread, where the main one hangs; None: nothing.
        children: Processes that were seen below this one.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[int], Any] = _leave,
        end: Callable[[set[int]], None] = end_children,
    ) -> None:
        """Hears nothing before its context is open.

        Args:
            clock: Seconds that never run backwards.
            leave: Ends this process with an exit code.
            end: Ends these processes and all below this one.
        """
        self.signal: signal.Signals | None = None
        self.advice: str | None = None
        self.rescue: Callable[[], Any] | None = None
        self._rescuing = False
        self._clock = clock
        self._exit = leave
        self._end = end
        self.children: set[int] = set()
        self._at = 0.0
        self._deferred = False
        self._breaks = False
        self._before: dict[signal.Signals, Any] = {}
        self._temporary: list[Path] = []
        self._asked, self._over = threading.Event(), threading.Event()

    @property
    def is_requested(self) -> bool:
        """Whether the search is to end."""
        return self.signal is not None

    def left(self, until_s: float) -> float | None:
        """Seconds until so many have passed since the signal, at least 0; None where there was none."""
        return None if self.signal is None else max(0.0, self._at + until_s - self._clock())

    def rest(self, seconds: float) -> None:
        """Passes some seconds, unless the search is to end.

        Raises:
            StoppedBySignalError: It is.
        """
        until = self._clock() + seconds
        while self.signal is None and self._clock() < until:
            time.sleep(min(0.1, seconds))
        if self.signal is not None:
            raise StoppedBySignalError(self.signal, self.advice)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Work that ends by itself after a signal; where that takes longer than `TRIALS_S`, it is broken off.

        Raises:
            StoppedBySignalError: There had been a signal before.
        """
        if self.signal is not None:
            raise StoppedBySignalError(self.signal, self.advice)
        self._deferred = True
        try:
            yield
        except _TooLongError:
            # Trials that have not ended in time are left as their last checkpoints have them.
            return
        finally:
            self._deferred = False
            if self._rescuing:
                # It comes to itself too late: another thread does what is left to do, and ends this process.
                threading.Event().wait()

    def within(self, until_s: float, work: Callable[[], Result]) -> Result | None:
        """What `work` returns; None where it does not so until so many seconds after the signal."""
        left = self.left(until_s)
        if left is None:
            return work()
        found: list[Result] = []
        errors: list[BaseException] = []

        def try_it() -> None:
            try:
                found.append(work())
            except (Exception, KeyboardInterrupt) as error:
                errors.append(error)

        thread = threading.Thread(target=try_it, daemon=True)
        thread.start()
        thread.join(left)
        if errors:
            raise errors[0]
        return found[0] if found else None

    def remove_at_end(self, folder: Path) -> None:
        """Remembers a temporary folder, which is removed also where the search is left at once."""
        self._temporary.append(folder)

    def leave(self) -> None:
        """Ends the processes of the search and this one."""
        self._end(self.children)
        for folder in self._temporary:
            shutil.rmtree(folder, ignore_errors=True)
        # A live table hides the cursor.
        show = "\x1b[?25h" if sys.stdout.isatty() else ""
        text = "".join(f"\n{line}" for line in ("interrupted", self.advice) if line)
        os.write(2, f"{show}{text}\n".encode())
        self._exit(128 + int(self.signal or signal.SIGINT))

    def __enter__(self) -> Self:
        """Hears signals from here on; where this is not the main thread, none."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # Of `nohup` nothing is left but that the signal is ignored.
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
            threading.Thread(target=self._watch, name="interruption", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hears no more."""
        self._over.set()
        self._asked.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._breaks:
            self._breaks = False
            if self._deferred:
                raise _TooLongError
            return
        if self.signal is not None:
            self.leave()
            return
        self.signal, self._at = signal.Signals(number), self._clock()
        self._asked.set()
        if not self._deferred:
            raise StoppedBySignalError(self.signal, self.advice)

    def _watch(self) -> None:
        """Sees to it that the end comes, in a thread of its own."""
        while not self._asked.wait(LOOK_EVERY_S):
            self.children = children()
        if self._over.is_set():
            return
        self.children |= children()
        if self._over.wait(TRIALS_S):
            return
        if self._deferred:
            self._breaks = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if self._over.wait(STUCK_S - TRIALS_S):
            return
        if self._deferred:
            self._rescuing = True
            self._rescue()
        if not self._over.wait(self.left(ORDERLY_S)):
            self.leave()

    def _rescue(self) -> None:
        try:
            if self.rescue is not None:
                self.within(ORDERLY_S, self.rescue)
        except (Exception, KeyboardInterrupt) as error:
            os.write(2, f"the best configuration could not be written: {error}\n".encode())
        self.leave()
