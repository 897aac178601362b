"""The processes below this one, and their end where nobody else is left to see to it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

PATIENCE_S = 2.0
"""Seconds in which processes that were told to end must have done so."""

SPARED = "bmtune.tracking"
"""The process that writes to W&B ends by itself: its input closes with this process."""

Table = Mapping[int, tuple[int, str]]
"""Parent and command line of each process by its number."""


def process_table() -> Table:
    """All processes of this machine that can be seen."""
    if Path("/proc/self/stat").exists():
        return _from_proc(Path("/proc"))
    # `ps` is everywhere but in slim containers, and those have /proc.
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,args="], capture_output=True, text=True, check=False).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {int(row[0]): (int(row[1]), row[2] if len(row) > 2 else "") for row in rows if len(row) > 1}


def _from_proc(root: Path) -> Table:
    found: dict[int, tuple[int, str]] = {}
    for folder in root.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            # "pid (name) state parent ...": the name may hold anything, also brackets and spaces.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            # It has ended meanwhile.
            continue
        if state not in "ZX":
            found[int(folder.name)] = (int(parent), arguments)
    return found


def below(root: int, table: Table, spared: str) -> list[int]:
    """The processes below `root`, parents first; without those whose command line holds `spared`, and theirs."""
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop(0)
        children = [pid for pid, (above, arguments) in table.items() if above == parent and spared not in arguments]
        found += children
        waiting += children
    return found


def children(spared: str = SPARED) -> set[int]:
    """Everything below this process, but for what ends by itself."""
    return set(below(os.getpid(), process_table(), spared))


def end_children(
    seen: Iterable[int] = (), list_processes: Callable[[], Table] = process_table, spared: str = SPARED
) -> None:
    """Kills everything below this process, and returns when it has gone.

    Args:
        seen: What was below it before: who lost its parent is found below process 1.
        list_processes: Lists processes.
        spared: Part of the command line of those that end by themselves.
    """
    until = time.monotonic() + PATIENCE_S
    ours = set(seen)
    while time.monotonic() < until:
        table = list_processes()
        ours |= set(below(os.getpid(), table, spared))
        alive = ours & table.keys()
        if not alive:
            return
        for pid in alive:
            _kill(pid)
        time.sleep(0.02)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It was faster.
        return
