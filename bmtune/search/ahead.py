"""Where the searcher gets proposals: made at once, or ahead in a process of their own."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol
from typing import Self

from bmtune.config.space_model import Params
from bmtune.search.foresight import RULE
from bmtune.search.foresight import Rule
from bmtune.search.next_trial import next_params
from bmtune.search.state import SearchState

PATIENCE_S = 60.0
"""Seconds that a proposal may take: of a process that has just begun, and has read a long run first."""

END_S = 1.0
"""Seconds that the process may take to end."""


class Asks(Protocol):
    """Where proposals come from."""

    def params(self, state: SearchState, number: int) -> Params:
        """The parameters of the trial that is started next."""
        ...

    def started(self, number: int) -> None:
        """The start of this trial is in the records."""
        ...


class AtOnce:
    """Every proposal is made when it is wanted."""

    def params(self, state: SearchState, number: int) -> Params:
        """See `Asks.params`."""
        assert number == state.num_started, "only the next trial is proposed at once"
        return next_params(state)

    def started(self, number: int) -> None:
        """See `Asks.started`."""


AT_ONCE = AtOnce()


class Ahead:
    """Proposals of a process that makes them before they are wanted; see `foresight.py` for what each is made from."""

    def __init__(self, folder: Path, tell: Callable[[str], None], rule: Rule = RULE) -> None:
        """Nothing is started before half the trials have begun from which on proposals are made ahead.

        Args:
            folder: The run folder.
            tell: Takes a sentence for the user.
            rule: Which proposals are made ahead.
        """
        self._command = [sys.executable, "-m", "bmtune.search.proposer", str(folder), *map(str, rule)]
        self._rule = rule
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._broken = False
        self._unread = b""
        self._made: dict[int, Params] = {}

    def params(self, state: SearchState, number: int) -> Params:
        """See `Asks.params`."""
        if self._rule.first // 2 <= number and self._rule.first + 1 < state.space.budget.trials:
            self._begin()
        if number > self._rule.first and not self._broken:
            found = self._wait_for(number)
            if found is not None:
                return found
            self._broken = True
            self._tell("proposals are made in the process of the search from here on: the one that made them has ended")
        return AT_ONCE.params(state, number)

    def started(self, number: int) -> None:
        """See `Asks.started`."""
        if number >= self._rule.first:
            self._poke()

    def _begin(self) -> None:
        if self._process is not None:
            return
        # A session of its own: Ctrl-C is for the search. What it says of errors is of no use to the user.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._poke()

    def _poke(self) -> None:
        if self._process is None or self._process.stdin is None or self._broken:
            return
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except OSError:
            # Whoever waits for its next proposal finds that it has ended.
            return

    def _wait_for(self, number: int) -> Params | None:
        until = time.monotonic() + PATIENCE_S
        while number not in self._made:
            if not self._read(until - time.monotonic()):
                return None
        return self._made.pop(number)

    def _read(self, within_s: float) -> bool:
        """Takes in what the process has said; False where it says nothing any more."""
        assert self._process is not None, "it was begun"
        assert self._process.stdout is not None, "it was asked for"
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, within_s)):
                return False
        said = os.read(self._process.stdout.fileno(), 65536)
        *lines, self._unread = (self._unread + said).split(b"\n")
        self._made |= dict(map(json.loads, lines))
        return bool(said)

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None, "both were asked for"
            try:
                pipe.close()
            except OSError:
                # It has ended before, with something unread.
                continue
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
