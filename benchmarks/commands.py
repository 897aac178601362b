"""Runs a command and watches all processes that it starts: wall clock, processor time and memory."""

import os
import subprocess
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from threading import Event
from threading import Thread

PROC = Path("/proc")
ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
LOOK_S = 1.0
"""Seconds between two looks at the processes: each takes some 5 ms of a processor."""
GROWN = 1.02
"""To weigh shared pages rightly takes 20 ms a process: it is done when the plain sizes have grown by this much."""
END_S = 30.0
"""Seconds that processes may outlive the command that started them: the next command is to find the machine idle."""


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes:
        first: Seconds to the first line that holds the mark; NaN where none does.
        seconds: Seconds in all.
        shown: When that line came, in seconds since 1970.
        cpu: Processor seconds of all its processes.
        memory: Most bytes of all its processes at once; shared pages are counted once.
        trained: The same of the processes alone in which Ray runs actors.
        lines: What it printed.
    """

    first: float
    seconds: float
    shown: float
    cpu: float
    memory: int
    trained: int
    lines: tuple[str, ...]


def watch(command: Sequence[str], folder: Path, mark: str, variables: Mapping[str, str] | None = None) -> Watched:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        mark: What the line holds that tells of the first epoch.
        variables: Environment beside that of this process.

    Raises:
        RuntimeError: It failed, or left processes behind.
    """
    began, first, shown, lines = time.perf_counter(), float("nan"), float("nan"), list[str]()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    with (
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process,
        _Scale(process.pid) as scale,
    ):
        assert process.stdout is not None, "it was asked for"
        for line in process.stdout:
            if not shown > 0 and mark in line:
                first, shown = time.perf_counter() - began, time.time()
            lines.append(line.rstrip("\n"))
        code = process.wait()
        seconds = time.perf_counter() - began
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {code}")
    scale.wait_for_all()
    return Watched(first, seconds, shown, scale.cpu, scale.memory, scale.trained, tuple(lines))


@dataclass
class _Scale:
    """A thread that follows a process and its descendants.

    Processes whose parent has ended are followed on. `getrusage` would lack them: Ray's workers are no one's children
    when a search ends.
    """

    root: int
    memory: int = 0
    trained: int = 0
    _ticks: dict[tuple[int, int], int] = field(default_factory=dict)
    _ended: Event = field(default_factory=Event)

    def __enter__(self) -> "_Scale":
        self._thread = Thread(target=self._follow, name="scale", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        """Processor seconds of all processes, each as it was last seen."""
        return sum(self._ticks.values()) / TICKS

    def wait_for_all(self) -> None:
        """Returns when every process has ended."""
        until = time.monotonic() + END_S
        while alive := self._look():
            if time.monotonic() > until:
                raise RuntimeError(f"processes {sorted(alive)} are still there {END_S:g} s after their command")
            time.sleep(0.1)

    def _follow(self) -> None:
        largest, largest_trained = 0, 0
        while not self._ended.wait(LOOK_S):
            plain = {pid: _resident_bytes(pid) for pid in self._look()}
            actors = {pid for pid in plain if _is_actor(pid)}
            whole, trained = sum(plain.values()), sum(plain[pid] for pid in actors)
            if whole > GROWN * largest or trained > GROWN * largest_trained:
                largest, largest_trained = max(largest, whole), max(largest_trained, trained)
                sizes = {pid: _proportional_bytes(pid) for pid in plain}
                self.memory = max(self.memory, sum(sizes.values()))
                self.trained = max(self.trained, sum(sizes[pid] for pid in actors))

    def _look(self) -> set[int]:
        """The processes that are alive; their processor time is noted."""
        table = {pid: (parent, began, ticks) for pid, parent, began, ticks in _processes()}
        ours = {pid for pid, began in self._ticks if pid in table and table[pid][1] == began}
        ours |= {self.root} & table.keys()
        while more := {pid for pid, (parent, *_) in table.items() if parent in ours} - ours:
            ours |= more
        for pid in ours:
            _, began, ticks = table[pid]
            self._ticks[pid, began] = ticks
        return ours


def _processes() -> Iterator[tuple[int, int, int, int]]:
    """Every process that has not ended: its number, its parent's, when it began, and its processor time in ticks."""
    for entry in PROC.iterdir():
        # A process may end between the listing and the look; a machine may hide the processes of others.
        with suppress(OSError):
            if entry.name.isdecimal():
                # The name stands in parentheses and may hold any character.
                state, parent, *fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if state not in "ZX":
                    yield int(entry.name), int(parent), int(fields[17]), int(fields[9]) + int(fields[10])


def _resident_bytes(pid: int) -> int:
    """Memory of a process, shared pages and all; 0 once it has ended."""
    with suppress(OSError):
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    return 0


def _proportional_bytes(pid: int) -> int:
    """Memory of a process, where pages that k processes share count as 1/k; 0 once it has ended."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _is_actor(pid: int) -> bool:
    """Whether Ray runs an actor in this process: its worker processes are named after what they do."""
    with suppress(OSError):
        name = (PROC / str(pid) / "cmdline").read_bytes()
        return name.startswith(b"ray::") and not name.startswith(b"ray::IDLE")
    return False
