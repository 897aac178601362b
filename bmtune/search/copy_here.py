"""Before a search with a copy elsewhere begins: a new one must not meet another, and an old one is brought here."""

import shutil
from pathlib import Path

import pyarrow

from bmtune.checkpoints import recover_checkpoint
from bmtune.checkpoints.folder import FACTS_FILE
from bmtune.config.names import check_name
from bmtune.config.names import within
from bmtune.config.paths import COMMAND_LINE
from bmtune.errors import ConfigError
from bmtune.errors import RunFolderError
from bmtune.search.copy_address import below
from bmtune.search.copy_place import CopyPlace
from bmtune.search.copy_place import answered
from bmtune.search.copy_place import unreachable
from bmtune.search.copy_plan import ahead
from bmtune.search.copy_plan import is_copied
from bmtune.search.lock import check_unlocked
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.request import SearchRequest


def prepare(request: SearchRequest, *, writes: bool = True) -> None:
    """Checks the copy of a run that is asked for, and brings it here where it is needed to go on.

    Args:
        request: The search; one without a copy is left as it is.
        writes: Whether something may be brought here.

    Raises:
        ConfigError: A run that is resumed has no name.
        StorageError: The place cannot be reached.
        RunFolderError: A new run is there already; or an old one is not, or has gone on in two places.
    """
    if request.copy_at is None:
        return
    if request.resume and request.name is None:
        raise ConfigError(
            f"a run with a copy elsewhere is resumed by its name, but there is none ({COMMAND_LINE}: --resume); "
            "add --name"
        )
    name = request.name or ""
    if name:
        check_name(name, f"{COMMAND_LINE}: --name")
    place = CopyPlace.open(request.copy_at, name)
    if request.resume:
        fetch(place, request.storage / name, writes=writes)
    elif name:
        check_new(place)


def check_new(place: CopyPlace) -> None:
    """Refuses a new run where there is one already.

    Raises:
        RunFolderError: There is.
        StorageError: The place cannot be reached.
    """
    if _names(place):
        raise RunFolderError(
            f"a run needs a place of its own, but {place.shown} holds something already; give another --name, or "
            "--resume to go on with the run there"
        )


def fetch(place: CopyPlace, folder: Path, *, writes: bool = True) -> bool:
    """Brings a run here where it is not, or where its copy has gone further; returns whether it did.

    Args:
        place: The copy.
        folder: The run on this machine.
        writes: Whether it may be brought.

    Raises:
        RunFolderError: There is no run in either place, each has records that the other lacks, or it is being written.
        StorageError: The place cannot be reached.
    """
    names = _names(place)
    here = (folder / SEARCH_FILE).exists()
    if SEARCH_FILE not in names:
        if here:
            return False
        raise RunFolderError(
            f"a run must be there to be resumed, but {place.shown} holds none, nor does {folder}; give another --name "
            "or --storage, or leave --resume away to start it"
        )
    if here and not _is_older(place, folder, names):
        return False
    if not writes:
        raise RunFolderError(
            f"a run must be on this machine to be looked at, but {folder} has less of it than {place.shown}, and a "
            "dry run brings nothing here; leave --dry-run away"
        )
    if here:
        check_unlocked(folder)
    _bring(place, folder, names)
    return True


def _is_older(place: CopyPlace, folder: Path, names: tuple[str, ...]) -> bool:
    """Whether the copy has gone further than the run here."""
    path = folder / RECORDS_FILE
    there = _read(place, RECORDS_FILE) if RECORDS_FILE in names else b""
    found = ahead(path.read_bytes() if path.exists() else b"", there)
    if found == "apart":
        raise RunFolderError(
            f"a run goes on in one place at a time, but {folder} and its copy at {place.shown} each have records that "
            "the other lacks; remove the one that is not to go on, or give another --name"
        )
    return found == "there"


def _bring(place: CopyPlace, folder: Path, names: tuple[str, ...]) -> None:
    """Puts the copy in the place of what is here, in one step."""
    fresh, old = (folder.with_name(f".{folder.name}.{role}") for role in ("fetched", "replaced"))
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        _read_all(place, fresh, names)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _read_all(place: CopyPlace, folder: Path, names: tuple[str, ...]) -> None:
    for name in filter(is_copied, names):
        path = within(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_read(place, name))
    # A search that was killed while it replaced a checkpoint there has left its two files of two moments.
    for facts in sorted(folder.rglob(FACTS_FILE)):
        if not facts.parent.name.startswith("."):
            recover_checkpoint(facts.parent)


def _names(place: CopyPlace) -> tuple[str, ...]:
    try:
        return answered(place.names, place.shown)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreachable(place.shown, error) from error


def _read(place: CopyPlace, name: str) -> bytes:
    try:
        return place.read(name)
    except (OSError, pyarrow.ArrowException) as error:
        raise unreachable(below(place.shown, name), error) from error
