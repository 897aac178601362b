"""A run folder as a confirmation needs it: checked, replayed, and not in use."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import optuna

from bmtune.config.space import SearchSpace
from bmtune.config.space import load_space
from bmtune.errors import DataError
from bmtune.errors import RunFolderError
from bmtune.records import Epoch
from bmtune.records import Record
from bmtune.records import RunStarted
from bmtune.records import read_records
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.solo import load_data
from bmtune.search.state import SearchState

RECORDS_FILE = "records.jsonl"
SEARCH_FILE = "search.yaml"
LOCK_FILE = ".confirmation.lock"


@dataclass(frozen=True)
class EndedRun:
    """A run whose search writes no more.

    Attributes:
        folder: Where it lies.
        space: Its search space.
        state: What its records lead to; at least one trial was measured.
        records: The records.
    """

    folder: Path
    space: SearchSpace
    state: SearchState
    records: tuple[Record, ...]

    @cached_property
    def header(self) -> RunStarted:
        """The first record."""
        assert self.state.header is not None, "a run with trials has a first record"
        return self.state.header

    @property
    def epochs(self) -> Iterator[Epoch]:
        """All epochs of the search."""
        return (record for record in self.records if isinstance(record, Epoch))

    @property
    def pre_cache(self) -> Path | None:
        """Where trials with one seed share their pre-training; None where they do not."""
        return ResolvedSearch(self.space, self.folder, None).pre_cache


def read_run(folder: Path) -> EndedRun:
    """Reads a run whose search writes no more: it has ended, or was interrupted or killed.

    Raises:
        RunFolderError: It is no run, or no trial of it was measured.
        FormatError: A file has a format or a version that this release does not read.
        ConfigError: `search.yaml` was edited and breaks a rule.
    """
    path = folder / RECORDS_FILE
    if not path.is_file():
        raise RunFolderError(
            f"a run must be a folder with {RECORDS_FILE}, but {folder} is not; give the folder that a search wrote"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    records = read_records(path).records
    space = load_space(folder / SEARCH_FILE)
    try:
        state = SearchState.replay(space, records)
    except ValueError as error:
        raise RunFolderError(
            f"a run's records must fit its {SEARCH_FILE}, but in {folder} they do not ({error}); bring the file back"
        ) from error
    if not state.ranked(unfinished=True):
        raise RunFolderError(
            f"a run must have a trial that was measured, but {folder} has {state.num_started} trials, of which "
            f"{state.count('failed')} failed and none was; search again"
        )
    return EndedRun(folder, space, state, records)


def check_rows(run: EndedRun) -> None:
    """Refuses data that are not those of the search.

    Raises:
        DataError: They have changed, or are unfit.
    """
    found = load_data(run.space.base).content_hash
    if found != run.header.data_hash:
        raise DataError(
            f"a run must be confirmed on the data that it searched on, but {run.header.dataset} has changed since "
            f"({found[:12]} instead of {run.header.data_hash[:12]}); bring the data back, or search again"
        )


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keeps a second confirmation of a run away while its context is open.

    Raises:
        RunFolderError: Another one is at work.
    """
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"a run is confirmed by one process at a time, but another one is at work in {folder}; wait for it"
            ) from error
        yield
