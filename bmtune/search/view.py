"""`study.db`: the study as SQLite for dashboards, written behind the search and never read by it."""

import copy
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.search.state import SearchState

STUDY_FILE = "study.db"

MOST_STEPS = 10
"""Values of a trial that the file holds. Optuna takes a millisecond for each, of the process that drives the search:
25 of each of 256 trials took it as long as all else. The records hold all."""


class StudyView:
    """Copies finished trials into the SQLite file from a thread of its own."""

    def __init__(self, path: Path, state: SearchState) -> None:
        """Starts writing; `path` must not hold a study of that name."""
        self._state = state
        self._waiting: queue.SimpleQueue[Sequence[FrozenTrial] | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, args=(path, _facts(state)), name="study-view", daemon=True)
        self._thread.start()

    def on_record(self, record: Record) -> None:
        """Passes a trial on when it has ended."""
        if isinstance(record, TrialFinished):
            self._waiting.put([self._state.study.get_trials(deepcopy=False)[record.trial]])

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
            study = _create(path, self._state, facts)
            while trials is not None:
                study.add_trials([_shown(trial) for trial in trials])
                trials = self._waiting.get()
        except Exception as error:
            self._error = error


def rebuild(path: Path, state: SearchState) -> None:
    """Writes the file anew from a state, for instance from replayed records."""
    path.unlink(missing_ok=True)
    study = _create(path, state, _facts(state))
    study.add_trials([_shown(trial) for trial in state.study.get_trials(deepcopy=False) if trial.state.is_finished()])


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
