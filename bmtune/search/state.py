"""The state of a search: everything that it knows, and nothing that its records do not say."""

import math
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState as OptunaState

from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Metrics
from bmtune.records import Notice
from bmtune.records import Objective
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunStarted
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.search.halving import Decision
from bmtune.search.halving import decide
from bmtune.search.halving import rungs
from bmtune.search.proposals import distributions
from bmtune.search.proposals import to_label


@dataclass(frozen=True)
class RunningTrial:
    """A trial that may still get better.

    Attributes:
        number: Counted from 0.
        params: Searched values by path.
        seed: The trial's seed.
        budget: Main-phase epochs done.
        best_epoch: The best of them, or None.
        best_metrics: Validation metrics of that epoch.
        stopped_at: The rung at which halving stopped it, or None.
        checkpoints: Paths, relative to the run folder, by "best" and "last".
        shared: Whether it took the result of pre-training from another trial.
    """

    number: int
    params: Params
    seed: int
    budget: int = 0
    best_epoch: int | None = None
    best_metrics: Metrics | None = None
    stopped_at: int | None = None
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that ended: how it ran, and how it ended."""

    run: RunningTrial
    end: TrialFinished


class SearchState:
    """What a search knows: its study, its rungs, its trials and its best one.

    `apply` is the only way to change it, live and in a replay alike.
    """

    def __init__(self, space: SearchSpace) -> None:
        """The state before the first record."""
        self.space = space
        self.objective = Objective(metric=space.objective.name, mode=space.objective.direction)
        self.header: RunStarted | None = None
        self.running: dict[int, RunningTrial] = {}
        self.finished: dict[int, FinishedTrial] = {}
        self.rung_values: dict[int, list[float | None]] = {
            rung: [] for rung in rungs(space.budget.grace, space.budget.eta, space.budget.max_epochs)
        }
        self.end: RunFinished | None = None
        self._seen: dict[int, set[tuple[str, int]]] = {}
        self._storage = InMemoryStorage()
        self.study = optuna.create_study(
            storage=self._storage,
            study_name="bmtune",
            direction="maximize" if self.objective.mode == "max" else "minimize",
            # The study only remembers; proposals bring their own sampler.
            sampler=RandomSampler(),
        )
        self._trial_ids: dict[int, int] = {}

    @classmethod
    def replay(cls, space: SearchSpace, records: Iterable[Record]) -> "SearchState":
        """The state that a run's records lead to."""
        state = cls(space)
        for record in records:
            state.apply(record)
        return state

    @property
    def num_started(self) -> int:
        """Trials that were started."""
        return len(self.running) + len(self.finished)

    def count(self, status: str) -> int:
        """Finished trials with this status."""
        return sum(trial.end.status == status for trial in self.finished.values())

    def has_epoch(self, trial: int, phase: str, epoch: int) -> bool:
        """Whether this epoch was recorded already."""
        return (phase, epoch) in self._seen.get(trial, ())

    def value_of(self, trial: RunningTrial) -> float | None:
        """The objective at a trial's best epoch, or None."""
        return trial.best_metrics.get(self.objective.metric) if trial.best_metrics else None

    def decision_at(self, rung: int, value: float | None) -> Decision:
        """What halving says about a trial that reaches `rung` with `value` now."""
        return decide(value, self.rung_values[rung], self.space.budget.eta, self.objective.mode)

    @property
    def best(self) -> FinishedTrial | None:
        """The winner so far: the best value among trials that halving did not stop; where it stopped all, among those.

        A value is that of a trial's best epoch, and a trial that went on was not the worse one at any rung, so
        early luck in a trial that was stopped does not win over it.
        """
        measured = [trial for trial in self.finished.values() if _is_measured(trial)]
        survivors = [trial for trial in measured if trial.run.stopped_at is None] or measured
        best: FinishedTrial | None = None
        for trial in sorted(survivors, key=lambda trial: trial.run.number):
            if best is None or self.objective.better(_value(trial), _value(best)):
                best = trial
        return best

    def apply(self, record: Record) -> None:
        """Takes one record in.

        Raises:
            ValueError: The record cannot follow those before it.
        """
        match record:
            case RunStarted():
                self.header = record
            case TrialStarted():
                self._start(record)
            case PretrainingShared():
                self.running[record.trial] = replace(self._trial(record.trial), shared=True)
            case Epoch():
                self._epoch(record)
            case Rung():
                self._rung(record)
            case CheckpointWritten():
                trial = self._trial(record.trial)
                paths = {**trial.checkpoints, record.which: record.path}
                self.running[record.trial] = replace(trial, checkpoints=paths)
            case TrialFinished():
                self._finish(record)
            case RunFinished():
                self.end = record
            case Notice():
                pass

    def _trial(self, number: int) -> RunningTrial:
        if number not in self.running:
            raise ValueError(f"trial {number} must be running, but it is not")
        return self.running[number]

    def _start(self, record: TrialStarted) -> None:
        if record.trial != self.num_started:
            raise ValueError(f"the next trial must be number {self.num_started}, but got {record.trial}")
        self.running[record.trial] = RunningTrial(record.trial, record.params, record.seed)
        self._seen[record.trial] = set()
        # A proposal that TPE made just now has opened its trial in the study already; a replayed one has not.
        if len(self.study.get_trials(deepcopy=False)) == record.trial:
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=OptunaState.RUNNING,
                    params={path: to_label(value) for path, value in record.params.items()},
                    distributions=distributions(self.space, record.params),
                )
            )
        self._trial_ids[record.trial] = self._storage.get_trial_id_from_study_id_trial_number(
            self._storage.get_study_id_from_name(self.study.study_name), record.trial
        )

    def _epoch(self, record: Epoch) -> None:
        trial = self._trial(record.trial)
        self._seen[record.trial].add((record.phase, record.epoch))
        self.running[record.trial] = replace(
            trial, budget=record.budget, best_epoch=record.best_epoch, best_metrics=record.best_metrics
        )
        value = record.metrics.get(self.objective.metric)
        # A main epoch is finished by the report that counts it: its own, or that of the retraining it needed.
        if value is not None and record.budget > trial.budget and record.eligible:
            self._storage.set_trial_intermediate_value(self._trial_ids[record.trial], record.budget, value)

    def _rung(self, record: Rung) -> None:
        trial = self._trial(record.trial)
        self.rung_values.setdefault(record.rung, []).append(record.value)
        if record.decision == "stop":
            self.running[record.trial] = replace(trial, stopped_at=record.rung)

    def _finish(self, record: TrialFinished) -> None:
        trial = self._trial(record.trial)
        del self.running[record.trial]
        del self._seen[record.trial]
        self.finished[record.trial] = FinishedTrial(trial, record)
        if record.status == "completed" and record.value is not None and math.isfinite(record.value):
            self.study.tell(record.trial, record.value)
        else:
            ended = OptunaState.PRUNED if record.status == "pruned" else OptunaState.FAIL
            self.study.tell(record.trial, state=ended)


def _is_measured(trial: FinishedTrial) -> bool:
    value = trial.end.value
    return trial.end.status != "failed" and value is not None and math.isfinite(value)


def _value(trial: FinishedTrial) -> float:
    assert trial.end.value is not None
    return trial.end.value
