"""`study.db`: the study as SQLite for dashboards, written behind the search and never read by it."""

import copy
import queue
import threading
from collections.abc import Collection
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.search.state import SearchState

STUDY_FILE = "study.db"

NUMBER = "trial"
"""The attribute of a trial in the file that holds our number of it."""

MOST_STEPS = 25
"""Values of a trial that the file holds. Optuna takes a millisecond for each, of the process that drives the search:
those of 256 trials of 100 epochs took it as long as all else. The records hold all."""


class StudyView:
    """Copies finished trials into the SQLite file from a thread of its own."""

    def __init__(self, path: Path, state: SearchState) -> None:
        """Starts writing: first, where the run goes on, what `path` lacks of the trials that have ended."""
        self._state = state
        self._waiting: queue.SimpleQueue[Sequence[FrozenTrial] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._before = ended_trials(state)
        self._thread = threading.Thread(target=self._write, args=(path, _facts(state)), name="study-view", daemon=True)
        self._thread.start()

    def on_record(self, record: Record) -> None:
        """Passes a trial on when it has ended."""
        if isinstance(record, TrialFinished):
            self._waiting.put([_numbered(self._state, record.trial)])

    def close(self) -> None:
        """Returns when everything is written.

        Raises:
            OSError: The file could not be written; the search itself is not concerned.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None:
            raise OSError(f"{STUDY_FILE} could not be written: {self._error}") from self._error

    def _write(self, path: Path, facts: dict[str, str]) -> None:
        try:
            # SQLAlchemy takes a second to import: not before the first trial is over, when the search runs.
            trials = self._waiting.get()
            study, known = _open(path, self._state, facts)
            missing = [trial for trial in self._before if _mark(trial) not in known]
            study.add_trials([_shown(trial) for trial in missing])
            while trials is not None:
                study.add_trials([_shown(trial) for trial in trials])
                trials = self._waiting.get()
        except Exception as error:
            self._error = error


def rebuild(path: Path, state: SearchState) -> None:
    """Writes the file anew from a state, for instance from replayed records."""
    path.unlink(missing_ok=True)
    study = _create(path, state, _facts(state))
    study.add_trials([_shown(trial) for trial in ended_trials(state)])


def ended_trials(state: SearchState) -> list[FrozenTrial]:
    """What the file holds: the trials of other runs that proposals learn from, and our own in order of their ends."""
    taken = state.study.get_trials(deepcopy=False)[: state.num_taken]
    return [*taken, *(_numbered(state, number) for number in state.finished)]


def _numbered(state: SearchState, number: int) -> FrozenTrial:
    """A trial of ours that bears its number: the file counts trials in order of their ends."""
    trial = copy.copy(state.in_study(number))
    trial.user_attrs = {**trial.user_attrs, NUMBER: number}
    return trial


def _mark(trial: FrozenTrial) -> tuple[object, object]:
    """What tells a trial of the file from all others."""
    return trial.user_attrs.get(NUMBER), trial.user_attrs.get("from")


def read_marks(path: Path) -> list[tuple[object, object]] | None:
    """(our number, or the run and number of a trial of another run) of every trial of the file.

    Returns:
        None where the file is no study of ours in which every trial has ended: it is to be written anew.
    """
    if not path.exists():
        return None
    # Imported here: it takes a second.
    from sqlalchemy.exc import SQLAlchemyError

    try:
        trials = optuna.load_study(study_name=None, storage=RDBStorage(f"sqlite:///{path}")).get_trials(deepcopy=False)
    except (SQLAlchemyError, KeyError, ValueError, RuntimeError):
        return None
    marks = [_mark(trial) for trial in trials]
    sound = all(trial.state.is_finished() for trial in trials) and (None, None) not in marks
    return marks if sound and len(set(marks)) == len(marks) else None


def _open(path: Path, state: SearchState, facts: dict[str, str]) -> tuple[optuna.Study, Collection[object]]:
    """The study in the file, and what it holds already."""
    marks = read_marks(path)
    if marks is None:
        path.unlink(missing_ok=True)
        return _create(path, state, facts), ()
    return optuna.load_study(study_name=None, storage=RDBStorage(f"sqlite:///{path}")), set(marks)


def _shown(trial: FrozenTrial) -> FrozenTrial:
    """A trial with at most `MOST_STEPS` of its values: the first, the last, and others in equal distances."""
    steps = sorted(trial.intermediate_values)
    if len(steps) <= MOST_STEPS:
        return trial
    chosen = {steps[round(index * (len(steps) - 1) / (MOST_STEPS - 1))] for index in range(MOST_STEPS)}
    shown = copy.copy(trial)
    shown.intermediate_values = {step: trial.intermediate_values[step] for step in sorted(chosen)}
    return shown


def _create(path: Path, state: SearchState, facts: dict[str, str]) -> optuna.Study:
    study = optuna.create_study(
        storage=RDBStorage(f"sqlite:///{path}"),
        study_name=facts["run"],
        direction="maximize" if state.objective.mode == "max" else "minimize",
    )
    for name, value in facts.items():
        study.set_user_attr(name, value)
    return study


def _facts(state: SearchState) -> dict[str, str]:
    header = state.header
    assert header is not None, "a view is opened after the run has begun"
    return {
        "run": header.run,
        "trainer": header.trainer,
        "dataset": header.dataset,
        "objective": f"{header.objective.metric} ({header.objective.mode})",
        "bmtune": header.bmtune,
    }
