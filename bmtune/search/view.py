"""`study.db`: the study as SQLite for dashboards, written behind the search and never read by it."""

import copy
import queue
import threading
from collections.abc import Collection
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from bmtune.disk_space import Patience
from bmtune.errors import StoppedBySignalError
from bmtune.records import Metrics
from bmtune.records import Record
from bmtune.records import TrialFinished
from bmtune.search.state import SearchState

STUDY_FILE = "study.db"

NUMBER = "trial"
"""The attribute of a trial in the file that holds our number of it."""

MOST_STEPS = 10
"""Values of a trial that the file holds. Optuna takes a millisecond for each, of the process that drives the search:
25 of each of 256 trials took it as long as all else. The records hold all."""


class StudyView:
    """Copies finished trials into the SQLite file from a thread of its own.

    Attributes:
        problem: A sentence that says why the file lacks something, or None.
    """

    def __init__(self, path: Path, state: SearchState, patience: Patience) -> None:
        """Starts writing; first, where the run goes on, what `path` lacks of the trials that have ended.

        Args:
            path: The file.
            state: The search.
            patience: How a full disk is waited for.
        """
        self.problem: str | None = None
        self._path = path
        self._state = state
        self._facts = _facts(state)
        self._patience = patience
        self._trials = ended_trials(state)
        self._waiting: queue.SimpleQueue[FrozenTrial | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="study-view", daemon=True)
        self._thread.start()

    def on_record(self, record: Record) -> None:
        """Passes a trial on when it has ended."""
        if isinstance(record, TrialFinished):
            self._waiting.put(_numbered(self._state, record.trial))

    def close(self, within_s: float | None = None) -> None:
        """Returns when everything is written, or `problem` says why not; the search itself is not concerned.

        Args:
            within_s: Most seconds that this may take; None: as many as it takes.
        """
        self._waiting.put(None)
        self._thread.join(within_s)
        if self._thread.is_alive():
            self.problem = f"{STUDY_FILE} does not hold all trials: the search was interrupted"

    def _write(self) -> None:
        file = _StudyFile(self._path, self._state, self._facts)
        hold = partial(file.hold, self._trials)
        trial: FrozenTrial | None
        try:
            # SQLAlchemy takes a second to import: not before the first trial is over, when the search runs.
            while (trial := self._waiting.get()) is not None:
                self._trials.append(trial)
                self._patience.wait_for_room(hold, STUDY_FILE, self._path.parent)
            self._patience.wait_for_room(hold, STUDY_FILE, self._path.parent)
        except (Exception, StoppedBySignalError) as error:
            reason = "the disk was full" if isinstance(error, StoppedBySignalError) else str(error)
            self.problem = f"{STUDY_FILE} does not hold all trials: {reason}"


class _StudyFile:
    """The file, which is begun anew where a write has failed: nobody knows how much of it was kept."""

    def __init__(self, path: Path, state: SearchState, facts: dict[str, str]) -> None:
        self._path = path
        self._state = state
        self._facts = facts
        self._study: optuna.Study | None = None
        self._held = 0
        self._known: Collection[object] = ()
        self._is_new = True

    def hold(self, trials: Sequence[FrozenTrial]) -> None:
        """Returns when the file holds all of these."""
        study, self._study = self._study, None
        if study is None:
            study = self._opened()
            self._held = 0
        study.add_trials([_shown(trial) for trial in trials[self._held :] if _mark(trial) not in self._known])
        self._study, self._held = study, len(trials)

    def _opened(self) -> optuna.Study:
        """The file as it is, the first time; then a new one."""
        if self._is_new:
            self._is_new = False
            study, self._known = _open(self._path, self._state, self._facts)
            return study
        self._path.unlink(missing_ok=True)
        self._known = ()
        return _create(self._path, self._state, self._facts)


def rebuild(path: Path, state: SearchState) -> None:
    """Writes the file anew from a state, for instance from replayed records."""
    path.unlink(missing_ok=True)
    study = _create(path, state, _facts(state))
    study.add_trials([_shown(trial) for trial in ended_trials(state)])


def ended_trials(state: SearchState) -> list[FrozenTrial]:
    """What the file holds: the trials of other runs that proposals learn from, and our own in order of their ends."""
    taken = state.study.get_trials(deepcopy=False)[: state.num_taken]
    if not state.aims.is_plain:
        taken = [
            _with_all_values(state, trial, record.metrics, record.status)
            for trial, record in zip(taken, state.taken, strict=True)
        ]
    return [*taken, *(_numbered(state, number) for number in state.finished)]


def _numbered(state: SearchState, number: int) -> FrozenTrial:
    """A trial of ours that bears its number: the file counts trials in order of their ends."""
    trial = copy.copy(state.in_study(number))
    trial.user_attrs = {**trial.user_attrs, NUMBER: number}
    end = state.finished[number].end
    if state.aims.is_plain or end.status == "failed":
        return trial
    return _with_all_values(state, trial, end.best_metrics, end.reason)


def _with_all_values(state: SearchState, trial: FrozenTrial, metrics: Metrics | None, ended: str) -> FrozenTrial:
    """A trial with all of its objectives, and how far it is within its constraints.

    With several objectives Optuna knows no pruned trials and no values by epochs: each one that was measured counts as
    complete, so that dashboards show it.
    """
    found = state.aims.counted(metrics)
    trial = copy.copy(trial)
    trial.user_attrs, trial.system_attrs = {**trial.user_attrs, "ended": ended}, dict(trial.system_attrs)
    if found is not None:
        for bound in state.aims.bounds:
            value = found[bound.metric]
            trial.set_constraint(
                f"{bound.metric} {bound.relation} {bound.limit:g}",
                value - bound.limit if bound.relation == "<=" else bound.limit - value,
            )
    if len(state.aims.objectives) > 1:
        trial.state = TrialState.PRUNED if found is None else TrialState.COMPLETE
        trial.values = None if found is None else [found[entry.metric] for entry in state.aims.objectives]
        trial.intermediate_values = {}
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
        directions=["maximize" if entry.mode == "max" else "minimize" for entry in state.aims.objectives],
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
        "objective": ", ".join(f"{entry.metric} ({entry.mode})" for entry in (header.objective, *header.others)),
        "bmtune": header.bmtune,
    }
