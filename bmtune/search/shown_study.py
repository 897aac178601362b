"""A run as an Optuna study that a dashboard reads: in memory, like the records, and written by nobody else.

`study.db` lacks most of a trial's values and knows no trial before its end; and a dashboard that had it open could make
the search wait. So the dashboard is given this study, which the records alone are made into.
"""

import json
import math
from collections.abc import Container
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from optuna.artifacts import ArtifactMeta
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from bmtune.records import Aims
from bmtune.records import Metrics
from bmtune.search.state import SearchState
from bmtune.search.trials import FinishedTrial

ARTIFACT = "artifacts:"
"""How Optuna names the attribute of a trial that tells of a file attached to it."""


CONSTRAINTS = "constraints"
"""How Optuna named the attribute of a trial that tells how far it is beyond its constraints; the dashboard reads it."""


class ShownStorage(InMemoryStorage):
    """An Optuna storage of one study, whose trials are put into it as a whole; the id of each is its number.

    Attributes:
        study_id: Of the study.
    """

    def __init__(self, name: str, directions: Sequence[StudyDirection]) -> None:
        """A study without trials."""
        super().__init__()
        self.study_id = self.create_new_study(directions, study_name=name)
        # Both are replaced and never changed, so that readers on other threads need no lock.
        self._shown: list[FrozenTrial] = []
        self._best: FrozenTrial | None = None

    def show(self, trials: Sequence[FrozenTrial], best: int | None) -> None:
        """Shows these trials from here on, by their numbers from 0 on without a gap, and one of them as the best."""
        self._shown = list(trials)
        self._best = None if best is None else self._shown[best]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials as they are shown; nobody changes one, so that there is no need of copies."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage.get_trial`."""
        if not 0 <= trial_id < len(self._shown):
            raise KeyError(f"no trial has the id {trial_id}")
        return self._shown[trial_id]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """The number itself."""
        return self.get_trial(trial_number).number

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """The id itself."""
        return self.get_trial(trial_id).number

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The trial that `bmtune best` names, which need not have the best value: halving may have held another.

        Raises:
            ValueError: There is none yet.
        """
        if self._best is None:
            raise ValueError("no trial has a value yet")
        return self._best


def directions(aims: Aims) -> list[StudyDirection]:
    """The directions of all objectives."""
    return [StudyDirection.MAXIMIZE if entry.mode == "max" else StudyDirection.MINIMIZE for entry in aims.objectives]


def shown_trial(state: SearchState, number: int, times: tuple[float | None, float | None]) -> FrozenTrial:
    """A trial as the dashboard shows it.

    Its value is the objective at its best epoch, as everywhere in bmtune, also where halving stopped it. A paused trial
    is shown running: a dashboard asks no more for one that has ended. With several objectives Optuna knows no pruned
    trials: each one that ended and was measured is shown as complete.

    Args:
        state: The search.
        number: The trial.
        times: Seconds since 1970 at its start and at its end; None: not known, or not yet.
    """
    trial = state.in_study(number)
    ended = state.finished.get(number)
    values = _values(state, number, ended)
    several = len(state.aims.objectives) > 1
    is_whole = several and ended is not None and values is not None
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.COMPLETE if is_whole else trial.state,
        value=None,
        values=values,
        datetime_start=_moment(times[0]),
        datetime_complete=_moment(times[1]),
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=_attributes(state, number, ended),
        system_attrs=_constraints(state, number, ended),
        intermediate_values=trial.intermediate_values,
    )


def _metrics(state: SearchState, number: int, ended: FinishedTrial | None) -> Metrics | None:
    """The values of a trial's best epoch."""
    if ended is None:
        return state.running[number].best_metrics
    return ended.end.best_metrics or ended.run.best_metrics


def _values(state: SearchState, number: int, ended: FinishedTrial | None) -> list[float] | None:
    """What a trial came to, or came to so far; Optuna's own account of one that was stopped early is its last value."""
    if ended is not None and ended.end.status == "failed":
        return None
    found = state.aims.counted(_metrics(state, number, ended))
    if found is None:
        return None
    values = [found[entry.metric] for entry in state.aims.objectives]
    return None if any(map(math.isnan, values)) else values


def _constraints(state: SearchState, number: int, ended: FinishedTrial | None) -> dict[str, Any]:
    """How far a trial is beyond each of its constraints, as the dashboard reads it: above 0 it is."""
    found = state.aims.counted(_metrics(state, number, ended))
    if found is None or not state.aims.bounds:
        return {}
    return {CONSTRAINTS: [bound.excess(found[bound.metric]) for bound in state.aims.bounds]}


def _moment(seconds: float | None) -> datetime | None:
    """A time as Optuna has it: local, without a zone."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError, OSError):
        # A line may hold any number; one that is no time of this calendar is not shown.
        return None


def _attributes(state: SearchState, number: int, ended: FinishedTrial | None) -> dict[str, Any]:
    """What the table of trials shows beside the hyperparameters."""
    trial = ended.run if ended is not None else state.running[number]
    metrics = _metrics(state, number, ended) or {}
    told = {name: value for name, value in metrics.items() if "/" not in name or name.startswith("rob/")}
    epoch = {} if trial.best_epoch is None else {"best epoch": trial.best_epoch}
    return {"state": words(state, number), "epochs": trial.budget, **epoch, **told, "seed": trial.seed}


def words(state: SearchState, number: int) -> str:
    """How a trial is, and why it ended."""
    ended = state.finished.get(number)
    if ended is not None:
        return f"{ended.end.status} ({ended.end.reason})"
    rung = state.paused.get(number)
    return "running" if rung is None else f"paused at rung {rung}"


def with_files(trial: FrozenTrial, names: Mapping[str, str]) -> FrozenTrial:
    """The trial with files attached to it: names of files by their ids, which are hexadecimal."""
    metas = {key: ArtifactMeta(key, name, _KINDS[name.rpartition(".")[2]], None) for key, name in names.items()}
    trial.system_attrs |= {ARTIFACT + key: json.dumps(asdict(meta)) for key, meta in metas.items()}
    return trial


_KINDS = {"png": "image/png", "yaml": "text/plain"}
