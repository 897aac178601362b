"""What was measured about packs, in small files that outlive the process."""

import json
import os
import platform
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal
from typing import NamedTuple

import torch
from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field
from pydantic import ValidationError

FORMAT = "bmtune.width"
VERSION = 2


class Measured(NamedTuple):
    """What was measured of packs of one width.

    Attributes:
        width: Lanes.
        seconds: Time of a step, divided by the lanes.
        bytes: Memory that the pack takes at its peak, in training or at validation.
    """

    width: int
    seconds: float
    bytes: int


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    width: int = Field(ge=1)
    seconds: float = Field(ge=0)
    bytes: int = Field(ge=0)


class _Content(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    format: Literal["bmtune.width"]
    version: Literal[2]
    machine: dict[str, str]
    key: str
    measured: list[_Entry]


class WidthFiles:
    """A folder with a file for each kind of pack on each kind of machine; without a folder nothing is kept.

    Any number of processes may share it: a file appears whole or not at all. One that cannot be read, or that another
    release wrote, is taken for absent: all that it spares is a measurement.
    """

    def __init__(self, folder: Path | None) -> None:
        """Files in a folder, which is made with the first of them."""
        self._folder = folder

    def read(self, key: str, device: torch.device) -> tuple[Measured, ...]:
        """What is known about the packs of a key, narrow ones first; nothing where no good file is."""
        if self._folder is None:
            return ()
        machine = machine_facts(device)
        try:
            content = _Content.model_validate_json(self._path(key, machine).read_bytes())
        except (OSError, ValidationError):
            return ()
        if (content.key, content.machine) != (key, machine):
            return ()
        measured = tuple(Measured(entry.width, entry.seconds, entry.bytes) for entry in content.measured)
        return tuple(sorted(measured)) if measured and min(measured).width == 1 else ()

    def write(self, key: str, device: torch.device, measured: Sequence[Measured]) -> None:
        """Keeps what is known about the packs of a key; a folder that cannot be written is given up."""
        try:
            self._write(key, machine_facts(device), measured)
        except OSError:
            # A full or foreign disk costs the next process a measurement, and this one nothing.
            self._folder = None

    def _write(self, key: str, machine: dict[str, str], measured: Sequence[Measured]) -> None:
        if self._folder is None:
            return
        entries = [entry._asdict() for entry in measured]
        content = {"format": FORMAT, "version": VERSION, "machine": machine, "key": key, "measured": entries}
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=self._folder, prefix=".width-")
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1)
        Path(fresh).replace(self._path(key, machine))

    def _path(self, key: str, machine: dict[str, str]) -> Path:
        assert self._folder is not None, "only files in a folder have a path"
        text = json.dumps([key, machine], sort_keys=True)
        return self._folder / f"{sha256(text.encode()).hexdigest()[:24]}.json"


def machine_facts(device: torch.device) -> dict[str, str]:
    """All but the pack itself that its speed depends on."""
    return {
        "cpu": _cpu_model(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def _cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
