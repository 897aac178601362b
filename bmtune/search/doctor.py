"""The state of a run folder, and its repair. `bmtune.search.repair` says which records a repair keeps."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import optuna

from bmtune.audit import audit
from bmtune.checkpoints import read_checkpoint
from bmtune.config.best import read_best
from bmtune.config.names import within
from bmtune.config.space_model import SearchSpace
from bmtune.errors import BmtuneError
from bmtune.errors import RunFolderError
from bmtune.records import Damage
from bmtune.records import Record
from bmtune.records import damaged
from bmtune.records import read_lines
from bmtune.records import rewrite
from bmtune.search.going_on import move_aside
from bmtune.search.lock import RunLock
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.old_run import look_at
from bmtune.search.repair import repaired
from bmtune.search.repair import replay_lines
from bmtune.search.state import SearchState
from bmtune.search.trial_run import checkpoint_path
from bmtune.search.view import STUDY_FILE
from bmtune.search.view import ended_trials
from bmtune.search.view import read_marks
from bmtune.search.view import rebuild
from bmtune.search.winner import BEST_FILE
from bmtune.search.winner import BEST_FOLDER


def check_run(folder: Path) -> list[str]:
    """What is wrong with a run, in sentences; empty where nothing is. Writes nothing.

    Raises:
        RunFolderError: There is no run, or another process writes it.
        FormatError: Its records cannot be read from their first line on.
        ConfigError: Its `search.yaml` breaks a rule.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space(folder)
    with RunLock(folder):
        return list(_findings(space, folder))


def repair_run(folder: Path) -> list[str]:
    """Repairs what can be repaired and says, in sentences, what was done; empty where there was nothing to do.

    The records that were there stay beside the new ones.

    Raises:
        RunFolderError: There is no run, or another process writes it.
        FormatError: Its records cannot be read from their first line on.
        ConfigError: Its `search.yaml` breaks a rule.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space(folder)
    with RunLock(folder):
        done = list(_repair_records(space, folder))
        records = [line for line in read_lines(folder / RECORDS_FILE).lines if not isinstance(line, Damage)]
        state = SearchState.replay(space, records)
        if done or list(_of_view(state, folder)):
            rebuild(folder / STUDY_FILE, state)
            done.append(f"{STUDY_FILE} was written anew from the records")
        return done


def _space(folder: Path) -> SearchSpace:
    if not (folder / RECORDS_FILE).is_file() or not (folder / SEARCH_FILE).is_file():
        raise RunFolderError(
            f"a run must be a folder with {SEARCH_FILE} and {RECORDS_FILE}, but {folder} is not; give the folder that "
            "a search wrote"
        )
    return look_at(folder)[0]


def _findings(space: SearchSpace, folder: Path) -> Iterator[str]:
    path = folder / RECORDS_FILE
    read = read_lines(path)
    if read.notice is not None:
        yield f"{read.notice}; --resume cuts it off"
    state, broken = replay_lines(space, read.lines)
    if broken is not None:
        kept = repaired(space, read.lines, folder).kept
        yield f"{damaged(path, broken)}; --repair would keep {kept} of {len(read.lines)} records"
        return
    yield from audit(line for line in read.lines if not isinstance(line, Damage))
    yield from _of_checkpoints(state, folder)
    yield from _of_best(folder)
    yield from _of_view(state, folder)


def _of_checkpoints(state: SearchState, folder: Path) -> Iterator[str]:
    """What of the checkpoints that are still needed cannot be read."""
    trials = [*state.running.values(), *(trial.run for trial in state.finished.values())]
    for trial in trials:
        for which, path in trial.checkpoints.items():
            if which == "last" and trial.number not in state.running:
                continue
            try:
                read_checkpoint(within(folder, path))
            except BmtuneError as error:
                yield f"trial {trial.number}: {error}"


def _of_best(folder: Path) -> Iterator[str]:
    if not (folder / BEST_FILE).exists():
        return
    try:
        read_best(folder / BEST_FILE)
        read_checkpoint(folder / BEST_FOLDER)
    except BmtuneError as error:
        yield str(error)


def _of_view(state: SearchState, folder: Path) -> Iterator[str]:
    ended = len(ended_trials(state))
    if not (folder / STUDY_FILE).exists():
        return
    marks = read_marks(folder / STUDY_FILE)
    held = 0 if marks is None else len(marks)
    if held != ended:
        yield f"{STUDY_FILE} holds {held} of {ended} trials that have ended; --repair writes it anew"


def _repair_records(space: SearchSpace, folder: Path) -> Iterator[str]:
    path = folder / RECORDS_FILE
    read = read_lines(path)
    _, broken = replay_lines(space, read.lines)
    if broken is None and read.notice is None:
        return
    kept_as = path.with_name(f"{RECORDS_FILE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    shutil.copy2(path, kept_as)
    found = repaired(space, read.lines, folder)
    for number in found.again:
        move_aside(folder / checkpoint_path(number, "last"))
    records: list[Record] = found.records
    rewrite(path, records)
    again = f"; {len(found.again)} trials begin anew" if found.again else ""
    yield f"{found.kept} of {len(read.lines)} records were kept and {found.added} written again{again}"
    yield f"the records as they were are in {kept_as}"
