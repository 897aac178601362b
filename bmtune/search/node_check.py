"""What a machine of a cluster says of itself. Standard library only: bmtune may be missing there."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("bmtune", "ray", "torch")
PATIENCE_S = 20.0
"""Seconds that the driver of a GPU may take to answer."""


class Gpu(NamedTuple):
    """A GPU.

    Attributes:
        name: Its model.
        memory: Bytes.
        driver: Version of its driver.
    """

    name: str
    memory: int
    driver: str


class NodeReport(NamedTuple):
    """What a machine says.

    Attributes:
        host: Its name.
        python: Version of Python.
        versions: Versions of packages by name; one that is missing is not there.
        gpus: GPUs that its driver knows.
        free: Free bytes of the disk on which it would keep files.
        sees: Whether it sees the storage folder of the driver.
        refused: Why it can write no file there, or where it sees none in its own temporary folder; None: it can.
        clock: Its time, in seconds since 1970.
    """

    host: str
    python: str
    versions: dict[str, str]
    gpus: tuple[Gpu, ...]
    free: int
    sees: bool
    refused: str | None
    clock: float


def check_node(folder: str, mark: str) -> NodeReport:
    """Looks at this machine.

    Args:
        folder: The storage folder of the driver.
        mark: A file that the driver has made in it.
    """
    sees = Path(folder, mark).exists()
    place = folder if sees else tempfile.gettempdir()
    return NodeReport(
        host=platform.node(),
        python=platform.python_version(),
        versions=dict(_versions()),
        gpus=find_gpus(),
        free=shutil.disk_usage(place).free,
        sees=sees,
        refused=_written(place),
        clock=time.time(),
    )


def clock() -> float:
    """The time of this machine, in seconds since 1970."""
    return time.time()


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def find_gpus(command: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """The GPUs that the driver's own tool lists; none where there is no such tool, or it fails."""
    asked = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return tuple(Gpu(row[0], int(row[1]) * 2**20, row[2]) for row in rows if len(row) == 3 and row[1].isdecimal())


def _written(folder: str) -> str | None:
    """Writes a file, reads it again and removes it."""
    path = Path(folder, f".bmtune-check-{platform.node()}-{os.getpid()}")
    try:
        path.write_bytes(b"bmtune")
        if path.read_bytes() != b"bmtune":
            return "what was written is not what is read"
        path.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None
