"""A checkpoint as a folder of two files: `tensors.safetensors` and `checkpoint.json`.

Nothing in it is executable: tensors are raw numbers, everything else is JSON. Both files carry a
checksum. A folder appears under its name only when it is complete and on disk; while one is being
replaced, its predecessor waits under `.NAME.previous` and readers fall back to it. Where the last two are to be kept,
it stays there, and `recover_checkpoint` goes back to it where the newer one is damaged. One process at a time writes a
given folder; any number may read it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from typing import NamedTuple

from torch import Tensor

from bmtune.checkpoints.tensors import pack_tensors
from bmtune.checkpoints.tensors import unpack_tensors
from bmtune.errors import CheckpointError
from bmtune.errors import FormatError

FORMAT = "bmtune.checkpoint"
VERSION = 1
TENSORS_FILE = "tensors.safetensors"
FACTS_FILE = "checkpoint.json"

# A reader meets at most one replacement unless a writer outpaces it again and again; three is ample.
_READ_ATTEMPTS = 3


class Recovered(NamedTuple):
    """The newest sound checkpoint of a folder, and what was wrong with a newer one.

    Attributes:
        checkpoint: Tensors and facts; None where no checkpoint is sound.
        damage: A sentence for each damaged one, newest first.
    """

    checkpoint: tuple[dict[str, Tensor], dict[str, Any]] | None
    damage: tuple[str, ...] = ()


def write_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, keep_previous: bool = False
) -> None:
    """Writes a checkpoint, replacing the one that may be there; it is on disk when this returns.

    Where it raises, the one that was there still is, and writing may be tried again.

    Args:
        folder: Where the checkpoint is to be; its parents are made.
        tensors: Tensors of any dtype, on any device; they are read back on the CPU.
        facts: Everything else, as JSON: mappings with string keys, lists, strings, numbers, booleans, None.
        keep_previous: Whether the one that was there is kept too.

    Raises:
        TypeError: `facts` holds something that JSON cannot hold.
        OSError: The disk refuses.
    """
    packed, complex_names = pack_tensors(tensors)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "tensors_sha256": sha256(packed).hexdigest(),
        "complex_tensors": complex_names,
        "facts_sha256": _facts_digest(facts),
        "facts": facts,
    }
    put_checkpoint(folder, (json.dumps(document, indent=1).encode(), packed), keep_previous=keep_previous)


def put_checkpoint(folder: Path, raw: tuple[bytes, ...], *, keep_previous: bool = False) -> None:
    """Puts the two files of a checkpoint, as `raw_checkpoint` returns them, in the place of one that may be there.

    Raises:
        OSError: The disk refuses; see `write_checkpoint`.
    """
    document, packed = raw
    fresh, previous = _beside(folder, "new"), _beside(folder, "previous")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a writer that was killed
    fresh.mkdir(parents=True)
    _write_to_disk(fresh / TENSORS_FILE, packed)
    _write_to_disk(fresh / FACTS_FILE, document)
    _sync_directory(fresh)
    if folder.exists():
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    fresh.rename(folder)
    _sync_directory(folder.parent)
    if not keep_previous:
        shutil.rmtree(previous, ignore_errors=True)


def recover_checkpoint(folder: Path) -> Recovered:
    """What whoever writes this folder goes on from: its newest sound checkpoint.

    A damaged newer one is set aside as `.NAME.damaged`, so that the next one to be written does not push the sound one
    out.

    Raises:
        FormatError: A checkpoint has a format or a version that this release does not read; that is no damage.
    """
    damage: list[str] = []
    previous = _beside(folder, "previous")
    for candidate in (folder, previous):
        # A writer that was killed between two renames leaves no newest one, and has damaged nothing.
        if not os.path.lexists(candidate):
            continue
        try:
            return Recovered(_read_one(candidate), tuple(damage))
        except CheckpointError as error:
            damage.append(str(error))
            _set_aside(candidate, _beside(folder, "damaged"))
    return Recovered(None, tuple(damage))


def _set_aside(path: Path, place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    path.rename(place)


def _read_one(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The checkpoint in this very folder, which nobody writes meanwhile."""
    try:
        found = _read_files(folder)
    except OSError as error:
        raise CheckpointError(f"a checkpoint must be readable, but {folder} is not: {error.strerror}") from error
    if found is None:
        raise CheckpointError(f"a checkpoint is a folder with {FACTS_FILE} and {TENSORS_FILE}, but {folder} is not")
    return _decode(folder, *found)


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the facts of the checkpoint in `folder`.

    Raises:
        CheckpointError: There is no checkpoint, or it is damaged.
        FormatError: It has a format or a version that this release does not read.
    """
    for _ in range(_READ_ATTEMPTS):
        for candidate in (folder, _beside(folder, "previous")):
            found = _read_files(candidate)
            if found is not None:
                return _decode(candidate, *found)
    raise CheckpointError(
        f"a checkpoint is a folder with {FACTS_FILE} and {TENSORS_FILE}, but {folder} is not; "
        "check the path, or train again"
    )


def raw_checkpoint(folder: Path) -> tuple[bytes, bytes] | None:
    """The two files of the checkpoint in `folder`, unread; None where there is none."""
    for candidate in (folder, _beside(folder, "previous")):
        found = _read_files(candidate)
        if found is not None:
            return found
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether `read_checkpoint` finds something to read, also where a replacement was cut short."""
    return folder.is_dir() or _beside(folder, "previous").is_dir()


def _beside(folder: Path, role: str) -> Path:
    return folder.parent / f".{folder.name}.{role}"


def _write_to_disk(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _facts_digest(facts: Mapping[str, Any]) -> str:
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_files(folder: Path) -> tuple[bytes, bytes] | None:
    """Both files as of one moment, or None where a file is missing or was replaced while reading."""
    try:
        document = (folder / FACTS_FILE).read_bytes()
        packed = (folder / TENSORS_FILE).read_bytes()
        unchanged = (folder / FACTS_FILE).read_bytes() == document
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (document, packed) if unchanged else None


def _decode(folder: Path, document: bytes, packed: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = _parse(folder, document)
    facts = content["facts"]
    if sha256(packed).hexdigest() != content["tensors_sha256"]:
        raise CheckpointError(_damaged(folder / TENSORS_FILE))
    if _facts_digest(facts) != content["facts_sha256"]:
        raise CheckpointError(_damaged(folder / FACTS_FILE))
    try:
        return unpack_tensors(packed, content["complex_tensors"]), facts
    except ValueError as error:
        raise CheckpointError(f"{folder / TENSORS_FILE} is damaged ({error}); use another checkpoint") from error


def _parse(folder: Path, document: bytes) -> dict[str, Any]:
    path = folder / FACTS_FILE
    try:
        content = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(_damaged(path)) from error
    if not isinstance(content, dict):
        raise CheckpointError(_damaged(path))
    name, version = content.get("format"), content.get("version")
    if name != FORMAT or version != VERSION:
        raise FormatError(
            f"a checkpoint must have format {FORMAT!r} version {VERSION}, but {path} has format {name!r} "
            f"version {version!r}; read it with the release that wrote it, or train again"
        )
    missing = {"tensors_sha256", "complex_tensors", "facts_sha256", "facts"} - content.keys()
    if missing or not isinstance(content["facts"], dict) or not isinstance(content["complex_tensors"], list):
        raise CheckpointError(_damaged(path))
    return content


def _damaged(path: Path) -> str:
    return f"a checkpoint's files must match their checksums, but {path} does not; use another checkpoint"
