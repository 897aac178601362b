"""A run folder opened for writing: new, or read and gone on with. One process at a time has one open."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bmtune import __version__
from bmtune.config.space_model import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.disk_space import Patience
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import VERSION
from bmtune.records import Damage
from bmtune.records import Notice
from bmtune.records import Record
from bmtune.records import RecordWriter
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import cut
from bmtune.records import damaged
from bmtune.records import read_lines
from bmtune.records import read_records
from bmtune.records import rewrite
from bmtune.search.lock import RunLock
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.old_run import look_at
from bmtune.search.repair import repaired
from bmtune.search.repair import replay_lines
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import SearchState
from bmtune.search.warm_start import learned


@dataclass(frozen=True)
class OpenRun:
    """A run that this process alone writes.

    Attributes:
        state: What its records say.
        writer: Where further ones go.
        first: The records to begin with: a header or that the run goes on, and what there is to say of that.
        past: The records so far.
    """

    state: SearchState
    writer: RecordWriter
    first: tuple[Record, ...]
    past: tuple[Record, ...] = ()


@contextmanager
def open_run(resolved: ResolvedSearch, patience: Patience | None = None) -> Iterator[OpenRun]:
    """The run of a search, new or going on, until the context ends.

    Args:
        resolved: The search.
        patience: How a full disk is waited for; None: it is an error.

    Raises:
        RunFolderError: Another process writes it, or has just begun it.
        FormatError: Its records are damaged.
    """
    folder = resolved.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    with RunLock(folder):
        run = _reopened(resolved, patience) if resolved.resumes else _begun(resolved, patience)
        with run.writer:
            yield run


def _begun(resolved: ResolvedSearch, patience: Patience | None) -> OpenRun:
    folder = resolved.run_folder
    if (folder / RECORDS_FILE).exists():
        raise RunFolderError(
            f"a run needs a folder of its own, but another one has just begun in {folder}; give another --name"
        )
    _written(folder, resolved.space, patience)
    state = SearchState(resolved.space)
    return OpenRun(
        state,
        RecordWriter(folder / RECORDS_FILE, patience=patience),
        (_header(resolved, state), *_learned(resolved), *resolved.first.records),
    )


def _learned(resolved: ResolvedSearch) -> tuple[Record, ...]:
    """What a new run takes over from an old one, if it was told to."""
    old = resolved.old
    if old is None:
        return ()
    space, seen = look_at(old.folder)
    records = read_records(old.folder / RECORDS_FILE).records if seen.header is not None else ()
    return learned(space, old.folder.name, records, resolved.space, same_data=old.data_hash == resolved.data_hash)


def _reopened(resolved: ResolvedSearch, patience: Patience | None) -> OpenRun:
    """The run as its records tell it, with a torn tail cut off."""
    folder, path = resolved.run_folder, resolved.run_folder / RECORDS_FILE
    path.touch()
    read = read_lines(path)
    state, broken = replay_lines(resolved.space, read.lines)
    if broken is not None:
        kept = repaired(resolved.space, read.lines, folder).kept
        raise FormatError(
            f"{damaged(path, broken)}; `bmtune doctor {folder} --repair` would keep {kept} of {len(read.lines)} records"
        )
    past = tuple(line for line in read.lines if not isinstance(line, Damage))
    notices: tuple[Record, ...] = ()
    if torn := path.stat().st_size - read.size:
        cut(path, read.size)
        notices = (Notice(text=f"the last line of {path} was torn: its {torn} bytes were cut off"),)
    _written(folder, resolved.space, patience)
    if not past:
        return OpenRun(state, RecordWriter(path, patience=patience), (_header(resolved, state), *notices))
    assert isinstance(past[0], RunStarted), "the first line was checked"
    if past[0].version < VERSION:
        # What follows is of this version: whoever does not read it should be told so by the first line.
        rewrite(path, [past[0].model_copy(update={"version": VERSION}), *past[1:]])
    assert resolved.old is not None, "a run that goes on is there"
    first = RunResumed(
        trials=resolved.space.budget.trials, changes=resolved.old.changes, bmtune=__version__, time=time.time()
    )
    return OpenRun(state, RecordWriter(path, patience=patience), (first, *notices), past)


def _written(folder: Path, space: SearchSpace, patience: Patience | None) -> None:
    write = partial(write_search, folder, space)
    if patience is None:
        write()
    else:
        patience.wait_for_room(write, SEARCH_FILE, folder)


def write_search(folder: Path, space: SearchSpace) -> None:
    """Writes `search.yaml`, replacing an older one in one step."""
    fresh = folder / f".{SEARCH_FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(dump(space.to_mapping()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / SEARCH_FILE)


def _header(resolved: ResolvedSearch, state: SearchState) -> RunStarted:
    space = resolved.space
    return RunStarted(
        run=Path(resolved.run_folder).name,
        trainer=space.trainer,
        dataset=resolved.dataset,
        data_hash=resolved.data_hash,
        objective=state.objective,
        others=state.aims.objectives[1:],
        bounds=state.aims.bounds,
        trials=space.budget.trials,
        max_epochs=space.budget.max_epochs,
        seed=space.run.seed,
        bmtune=__version__,
        time=time.time(),
    )
