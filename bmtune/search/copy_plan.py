"""What of a run is copied to another place, and in which order: decisions over lists of files.

Whoever reads the copy at any moment, also after the search was killed, finds a run that can go on: records come after
the checkpoints that they name, whole lines of them only; `best.yaml` comes after the records; what is gone here goes
there last; and while a checkpoint is being replaced there, a sound predecessor or successor lies beside it.
"""

from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from bmtune.checkpoints.folder import FACTS_FILE
from bmtune.checkpoints.folder import TENSORS_FILE
from bmtune.search.old_run import RECORDS_FILE

BEST_FILE = "best.yaml"
STUDY = "study.db"

Stamp = tuple[int, int, int]
"""What tells one content of a file from another: time of its last change in ns, bytes, and number of its inode."""

Ahead = Literal["neither", "here", "there", "apart"]


@dataclass(frozen=True)
class Step:
    """Files that are written together, in their order.

    Attributes:
        paths: Relative to the run folder; the two of a checkpoint, or one.
        folder: The folder of a checkpoint; None: it is none.
        shelter: A folder there that holds the checkpoint that is replaced until that is done; None: there is no need.
    """

    paths: tuple[str, ...]
    folder: str | None = None
    shelter: str | None = None


def is_copied(path: str) -> bool:
    """Whether a file of a run belongs to its copy.

    The study is a view that is made again; locks and temporary files mean nothing elsewhere.

    Args:
        path: Relative to the run folder, with slashes.
    """
    *folders, name = path.split("/")
    if name.startswith((".", STUDY)) or name.endswith((".lock", ".new")):
        return False
    return all(not folder.startswith(".") or folder.endswith(".previous") for folder in folders)


def steps(here: Mapping[str, Stamp], there: Mapping[str, Stamp | None]) -> tuple[Step, ...]:
    """What must be written so that the copy has what is here, in order.

    Args:
        here: The files of the run folder, by path.
        there: Those of the copy, with the stamp that each had here when it was copied; None: nobody knows.
    """
    changed = {_unit(path) for path, stamp in here.items() if is_copied(path) and there.get(path) != stamp}
    return tuple(_step(unit, here, there) for unit in sorted(changed, key=lambda unit: (_rank(unit), unit)))


def removed(here: Collection[str], there: Mapping[str, Stamp | None]) -> tuple[str, ...]:
    """What the copy has and the run folder has no more."""
    return tuple(sorted(path for path in there if path not in here))


def whole_lines(content: bytes) -> bytes:
    """The content up to the end of its last whole line."""
    return content[: content.rfind(b"\n") + 1]


def ahead(here: bytes, there: bytes) -> Ahead:
    """Which of two records files goes on from the other; "apart": each holds what the other does not.

    Args:
        here: Content of the file on this machine; a torn last line does not count.
        there: Content of the copy; likewise.
    """
    mine, other = whole_lines(here), whole_lines(there)
    if mine == other:
        return "neither"
    if mine.startswith(other):
        return "here"
    return "there" if other.startswith(mine) else "apart"


def _unit(path: str) -> str:
    """A file, or the folder of a checkpoint, whose two files belong together."""
    found = PurePosixPath(path)
    return str(found.parent) if found.name in (FACTS_FILE, TENSORS_FILE) else path


def _rank(unit: str) -> int:
    if unit == BEST_FILE:
        return 4
    if unit == RECORDS_FILE:
        return 3
    if PurePosixPath(unit).name.endswith(".previous"):
        return 0
    return 1 if "/" in unit or unit == "best" else 2


def _step(unit: str, here: Mapping[str, Stamp], there: Mapping[str, Stamp | None]) -> Step:
    pair = (f"{unit}/{TENSORS_FILE}", f"{unit}/{FACTS_FILE}")
    if not here.keys() & set(pair):
        return Step((unit,))
    place = PurePosixPath(unit)
    previous = str(place.with_name(f".{place.name}.previous"))
    # Where the last two are kept, the older one is there already; else a copy of the one there takes its place.
    needed = not place.name.startswith(".") and set(pair) <= there.keys() and f"{previous}/{FACTS_FILE}" not in here
    # One that is there already was left by whoever did not come to the end: what it shelters may be no more sound.
    needed = needed and not {f"{previous}/{path.name}" for path in map(PurePosixPath, pair)} <= there.keys()
    return Step(pair, unit, previous if needed else None)
