"""A run in memory that follows the records of another process, for whoever looks at a search from outside."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna_dashboard import save_note

from bmtune.config.space_model import SearchSpace
from bmtune.config.yaml_text import dump
from bmtune.errors import BmtuneError
from bmtune.errors import FormatError
from bmtune.errors import RunFolderError
from bmtune.records import Record
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.search.attachments import Attachments
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.old_run import SEARCH_FILE
from bmtune.search.old_run import look_at
from bmtune.search.shown_study import ShownStorage
from bmtune.search.shown_study import directions
from bmtune.search.shown_study import shown_trial
from bmtune.search.shown_study import with_files
from bmtune.search.state import SearchState
from bmtune.search.winner import trial_config
from bmtune.tracking.tail import RecordTail

MOST_NOTES = 200
"""Trials whose notes hold their configurations, the first ones of a run and then each new best one; the others have the
file. A page fetches all notes at once, and each takes some milliseconds to write."""


class Teller(Protocol):
    """Whoever says in words how a run is."""

    def on_record(self, record: Record) -> None:
        """Hears of every record."""
        ...

    def text(self) -> str:
        """How the run is now, as Markdown."""
        ...


class RunMirror:
    """The study of a run, as its records had it when they were read last.

    The run's folder is only read, and no lock is taken: the search that writes it cannot notice.

    Attributes:
        storage: What a dashboard shows.
        files: The files of trials.
        best: The best trial so far; None: none has finished an epoch of its main phase.
        problem: Why the records could not be followed to their end, or None.
    """

    def __init__(self, folder: Path, tell: Callable[[SearchSpace], Teller]) -> None:
        """The run as it is now.

        Args:
            folder: The run folder.
            tell: Makes who writes the note of the whole run; it is told all records from the first one on.

        Raises:
            RunFolderError: There is no run, or nothing of it is recorded yet.
            FormatError: The records have another format or version, or are damaged.
            ConfigError: `search.yaml` breaks a rule.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.files = Attachments(folder, self.configuration)
        self._folder = folder
        self._tell = tell
        header = self._begin()
        self.storage = ShownStorage(header.run, directions(self._state.aims))
        self._study = optuna.load_study(study_name=header.run, storage=self.storage, sampler=RandomSampler())
        with warnings.catch_warnings():
            # Experimental since 2023.
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.set_metric_names([entry.metric for entry in self._state.aims.objectives])
        for name in ("trainer", "dataset", "bmtune", "seed"):
            self._study.set_user_attr(name, getattr(header, name))
        self.refresh()
        if self.problem is not None:
            raise FormatError(self.problem)

    def _begin(self) -> RunStarted:
        """Forgets all that the records have led to; see `__init__`."""
        path = self._folder / RECORDS_FILE
        if not path.is_file() or not (self._folder / SEARCH_FILE).is_file():
            raise RunFolderError(
                f"a run must be a folder with {SEARCH_FILE} and {RECORDS_FILE}, but {self._folder} is not; give the "
                "folder that a search wrote"
            )
        space, seen = look_at(self._folder)
        if seen.header is None:
            raise RunFolderError(f"a run must have begun, but {path} has no whole line yet; wait")
        self.problem: str | None = None
        self._damaged: int | None = None
        self._file = path.stat()
        self._tail = RecordTail(path)
        self._state = SearchState(space)
        self._teller = self._tell(space)
        self._times: dict[int, tuple[float | None, float | None]] = {}
        self._trials: dict[int, optuna.trial.FrozenTrial] = {}
        self._notes: dict[int | None, str] = {}
        # Their pictures may come after their last records.
        self._again: set[int] = set()
        return seen.header

    def _is_another(self) -> bool:
        """Whether the records were replaced: by a repair, or by a search that goes on with an older version's."""
        before, self._file = self._file, (self._folder / RECORDS_FILE).stat()
        if self._file.st_ino != before.st_ino or self._file.st_size < before.st_size:
            return True
        return self.problem is not None and self._file.st_mtime_ns != self._damaged

    def refresh(self) -> None:
        """Reads what was recorded since the last time; where that cannot be, `problem` and the run's note say why."""
        try:
            if self._is_another():
                self._begin()
        except (BmtuneError, OSError) as error:
            self.problem, self._damaged = str(error), None
        changed = self._follow()
        for number in sorted(changed | self._again):
            self._trials[number] = with_files(
                shown_trial(self._state, number, self._times[number]), self.files.names_of(number)
            )
        self._again = changed
        ranked = self._state.ranked(unfinished=True)
        self.best = next((trial.run.number for trial in ranked if trial.run.number in self._trials), None)
        self.storage.show([self._trials[number] for number in sorted(self._trials)], self.best)
        self._write_notes(changed, self.best)

    def _follow(self) -> set[int]:
        """Takes new records in; returns the trials that they speak of."""
        changed: set[int] = set()
        if self.problem is not None:
            return changed
        try:
            for record in self._tail.read():
                self._state.apply(record)
                self._teller.on_record(record)
                if isinstance(record, TrialStarted):
                    self._times[record.trial] = (record.time, None)
                elif isinstance(record, TrialFinished):
                    self._times[record.trial] = (self._times[record.trial][0], record.time)
                number = getattr(record, "trial", None)
                if number is not None:
                    changed.add(number)
        except (ValueError, KeyError) as error:
            self._damaged = self._file.st_mtime_ns
            self.problem = (
                f"records must be whole and follow from those before them, but in {self._folder / RECORDS_FILE} they "
                f"do not ({error}); `bmtune doctor {self._folder} --repair` keeps what can be kept"
            )
        return changed

    def _write_notes(self, changed: set[int], best: int | None) -> None:
        for number in sorted(changed if best is None else changed | {best}):
            # The rest of a note never changes, so that no trial's configuration is written out twice.
            if number in self._notes or (len(self._notes) >= MOST_NOTES and number != best):
                continue
            self._note(number, f"```yaml\n{self.configuration(number)}```\n")
        try:
            text = self._teller.text()
        except BmtuneError as error:
            # `best.yaml` may be edited, or be replaced at this moment; the trials are shown all the same.
            text = f"{error}\n"
        self._note(None, text if self.problem is None else f"{self.problem}\n\n{text}")

    def _note(self, number: int | None, text: str) -> None:
        if self._notes.get(number) == text:
            return
        self._notes[number] = text
        save_note(self._study if number is None else optuna.Trial(self._study, number), text)

    def configuration(self, number: int) -> str:
        """The whole configuration of a trial as YAML, with its number in a comment."""
        ended = self._state.finished.get(number)
        run = ended.run if ended is not None else self._state.running[number]
        config = trial_config(self._state, run.params, run.seed)
        return f"# trial {number} of {self._study.study_name}\n{dump(config.model_dump(mode='json'))}"
