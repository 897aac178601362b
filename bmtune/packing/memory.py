"""Memory of a device: what is free, and what a piece of work takes at its peak."""

import ctypes
import os
import re
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

import torch
from filelock import FileLock
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")

ALLOCATOR = 1.5
"""Memory that a process grows by on a CPU, as a multiple of its live tensors: measured 1.2 to 1.7 at 200 to 700 MB."""

RESERVE = 0.06
"""Part of a machine's memory that counts as taken: where less than 5 % is free, Ray ends processes."""

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def free_bytes(device: torch.device) -> int | None:
    """Bytes that tensors on a device may still take; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What the allocator holds and no tensor uses is free as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [size for size in (_available(), _left_in_group()) if size is not None]
    return min(found) if found else None


def share_of_machine(device: torch.device) -> float:
    """The part of a device's memory that is this process's: a GPU has one owner, a machine may have several hosts.

    Hosts divide the memory of a machine as they divide its processors. (Where there are fewer hosts than there is room
    for, some of it is not used.)
    """
    if device.type != "cpu":
        return 1.0
    known = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return min(1.0, torch.get_num_threads() / processors)


@contextmanager
def whole_machine(device: torch.device) -> Iterator[None]:
    """Within it, no other process of this user that asks for the same does so; a GPU has one owner anyway."""
    if device.type != "cpu":
        yield
        return
    with FileLock(Path(tempfile.gettempdir(), f"bmtune-memory-{os.getuid()}.lock")), given_back(device):
        give_back()
        yield


@contextmanager
def given_back(device: torch.device) -> Iterator[None]:
    """After it, what the allocator of a CPU holds and no tensor uses is the system's again."""
    try:
        yield
    finally:
        if device.type == "cpu":
            give_back()


def give_back() -> None:
    """Returns memory that no tensor uses to the system, where its allocator (glibc) can: blocks of megabytes stay."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _available() -> int | None:
    """What the kernel could hand out without swapping."""
    if not MEMINFO.is_file():
        return None
    text = MEMINFO.read_text()
    free, total = (re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for name in ("MemAvailable", "MemTotal"))
    return max(0, round(1024 * (int(free[1]) - RESERVE * int(total[1])))) if free and total else None


def _left_in_group() -> int | None:
    """What a container may still take; None without a limit."""
    limit, current, stat = (CGROUP / name for name in ("memory.max", "memory.current", "memory.stat"))
    if not (limit.is_file() and current.is_file() and stat.is_file()):
        return None
    most = limit.read_text().strip()
    if most == "max":
        return None
    # Files that were read stay in memory until it is needed, and count as used.
    idle = re.search(r"^inactive_file (\d+)", stat.read_text(), re.MULTILINE)
    taken = int(current.read_text()) - (int(idle[1]) if idle else 0)
    return max(0, round((1 - RESERVE) * int(most)) - taken)


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; the allocator of the CPU says so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def asked_bytes(error: BaseException) -> int:
    """The bytes that were asked for when memory ran out; 0 where the message does not tell."""
    found = re.search(r"allocate ([\d.]+) ?(bytes|[KMGT]iB)", str(error))
    return round(float(found[1]) * _UNITS[found[2]]) if found else 0


class Peak:
    """Within it, the most bytes that tensors take at a time beyond those that were there before.

    Attributes:
        bytes: The peak so far. On a CPU it is that of live tensors with what the allocator adds to it.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        """A measurement on a device.

        Args:
            device: Where the tensors are.
            limit: On a CPU, what passes this many bytes ends with `MemoryError`: the system would promise the memory
                and then end some process. A GPU refuses by itself.
        """
        self._device = device
        self._before = 0
        self._live, self._watched = _LiveTensors(limit), ExitStack()
        self._after: int | None = None

    @property
    def bytes(self) -> int:
        """See the class."""
        if self._after is not None:
            return self._after
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return round(ALLOCATOR * self._live.peak)

    def __enter__(self) -> Self:
        """Begins to measure."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._watched.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the measurement."""
        self._after = self.bytes
        if self._device.type != "cuda":
            self._watched.close()


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of tensors from the operation that makes them until nothing refers to them.

    Hooks on what is saved for the backward pass would do too, but not inside `torch.func.grad`, which some losses use.
    """

    def __init__(self, limit: int | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._limit = limit
        self.peak = 0
        self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {entry.untyped_storage()._cdata for entry in tree_iter((args, kwargs)) if isinstance(entry, Tensor)}
        for entry in tree_iter(result):
            if isinstance(entry, Tensor) and entry.untyped_storage()._cdata not in given:
                self._born(entry.untyped_storage())
        return result

    def _born(self, storage: torch.UntypedStorage) -> None:
        number = storage._cdata
        if number in self._sizes:
            return
        self._sizes[number] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._died, number)
        if self._limit is not None and ALLOCATOR * self._now > self._limit:
            raise MemoryError(f"{round(ALLOCATOR * self._now)} bytes are more than the {self._limit} that are free")

    def _died(self, number: int) -> None:
        self._now -= self._sizes.pop(number)
