"""The state of a search: everything that it knows, and nothing that its records do not say."""

import math
from collections.abc import Iterable
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.records import CheckpointWritten
from bmtune.records import Epoch
from bmtune.records import Metrics
from bmtune.records import Notice
from bmtune.records import PretrainingShared
from bmtune.records import Record
from bmtune.records import RunFinished
from bmtune.records import Rung
from bmtune.records import RunResumed
from bmtune.records import RunStarted
from bmtune.records import TrialEnqueued
from bmtune.records import TrialFinished
from bmtune.records import TrialPromoted
from bmtune.records import TrialRecord
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.search.halving import Arrival
from bmtune.search.halving import Decision
from bmtune.search.halving import Mode
from bmtune.search.halving import Promotion
from bmtune.search.halving import Standing
from bmtune.search.halving import best_waiting
from bmtune.search.halving import decide_among
from bmtune.search.halving import decide_arrival
from bmtune.search.halving import halving_mode
from bmtune.search.halving import next_promotion
from bmtune.search.halving import rungs
from bmtune.search.proposals import distributions
from bmtune.search.ranking import Ranking
from bmtune.search.trial_study import TrialStudy
from bmtune.search.trials import FinishedTrial
from bmtune.search.trials import RunningTrial


class SearchState:
    """What a search knows: its study, its rungs, its trials and its best one.

    `apply` is the only way to change it, live and in a replay alike.

    Attributes:
        running: Trials that have not ended, paused ones too.
        finished: Trials that have ended.
        arrivals: By rung, the trials that reached it, in this order.
        paused: Trials that wait for a promotion, and the rung at which each waits.
        taken: Trials of other runs that proposals learn from.
        enqueued: Searched values that are tried after those of the base, before anything is proposed.
    """

    def __init__(self, space: SearchSpace) -> None:
        """The state before the first record."""
        self.space = space
        self.aims = space.aims
        self.objective = self.aims.objectives[0]
        self.header: RunStarted | None = None
        self.running: dict[int, RunningTrial] = {}
        self.finished: dict[int, FinishedTrial] = {}
        self.halving: Mode = halving_mode(space.run.halving, packs=space.run.pack != 1)
        self.arrivals: dict[int, list[Arrival]] = {
            rung: [] for rung in rungs(space.budget.grace, space.budget.eta, space.budget.max_epochs)
        }
        self.paused: dict[int, int] = {}
        self.enqueued: list[Params] = []
        self.taken: list[TrialTaken] = []
        self.end: RunFinished | None = None
        self._promotes = False
        self._promotion: Promotion | None = None
        self._promotion_is_known = True
        self._seen: dict[int, set[tuple[str, int]]] = {}
        self._trials = TrialStudy(self.objective.mode)

    @classmethod
    def replay(cls, space: SearchSpace, records: Iterable[Record]) -> "SearchState":
        """The state that a run's records lead to."""
        state = cls(space)
        for record in records:
            state.apply(record)
        return state

    @property
    def study(self) -> optuna.Study:
        """What proposals are made from: trials of other runs, then those of this one in order."""
        return self._trials.study

    @property
    def num_taken(self) -> int:
        """Trials of other runs in the study."""
        return self._trials.num_taken

    def open(self, trial: int, params: Params) -> None:
        """Opens a trial in the study that has still to start, the one after the last that is open."""
        self._trials.open(params, distributions(self.space, params))

    def in_study(self, trial: int) -> FrozenTrial:
        """A trial of this run as the study has it."""
        return self._trials.trial(trial)

    def epochs_of(self, trial: int) -> frozenset[tuple[str, int]]:
        """(phase, epoch) of all recorded epochs of a trial that has not ended."""
        return frozenset(self._seen.get(trial, ()))

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
        """The first objective at a trial's best epoch, or None."""
        return trial.best_metrics.get(self.objective.metric) if trial.best_metrics else None

    def arrival_of(self, trial: RunningTrial) -> Arrival:
        """A trial as it would be compared at a rung now."""
        if self.aims.is_plain:
            return Arrival(trial.number, self.value_of(trial))
        return self._arrival(trial.number, self.value_of(trial), trial.best_metrics)

    def _arrival(self, trial: int, value: float | None, metrics: Metrics | None) -> Arrival:
        point = self.aims.point(metrics)
        return Arrival(trial, value if point is not None else None, point)

    def rung_reached(self, number: int, decision: Decision | None = None) -> Rung:
        """The record of a trial that reaches a rung with its budget of now.

        Args:
            number: The trial.
            decision: What was decided; None: what halving says.
        """
        trial = self.running[number]
        values = None if self.aims.is_plain else self.aims.counted(trial.best_metrics)
        decided = decision or self.decision_at(self.arrival_of(trial), trial.budget)
        return Rung(trial=number, rung=trial.budget, value=self.value_of(trial), values=values, decision=decided)

    @property
    def num_active(self) -> int:
        """Trials that are being trained."""
        return len(self.running) - len(self.paused)

    @property
    def all_started(self) -> bool:
        """Whether no new trial may start."""
        return self.num_started >= self.space.budget.trials

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train: no new trial, none that runs, none to promote."""
        return self.all_started and self.num_active == 0 and self.promotion is None

    @property
    def promotion(self) -> Promotion | None:
        """The paused trial that the next free place belongs to, or None.

        Where every trial was started, none runs, none is promotable and none went through to its end, the best one at
        the highest rung goes on: one in eta of few trials soon is none, and a search should train one of them whole.
        """
        if not self._promotion_is_known:
            self._promotion = self._find_promotion()
            self._promotion_is_known = True
        return self._promotion

    def _find_promotion(self) -> Promotion | None:
        standing = Standing(self.arrivals, self.paused)
        found = next_promotion(standing, self.space.budget.eta, self.objective.mode)
        if found is not None or not self.all_started or self.num_active:
            return found
        whole = any(
            trial.end.status == "completed" and trial.run.stopped_at is None for trial in self.finished.values()
        )
        return None if whole else best_waiting(standing, self.objective.mode)

    def decision_at(self, arrival: Arrival, rung: int) -> Decision:
        """What halving says about a trial that reaches `rung` now."""
        eta, mode = self.space.budget.eta, self.objective.mode
        if self.halving == "stop":
            return decide_among(arrival, self.arrivals[rung], eta, mode)
        return decide_arrival(arrival, rung, Standing(self.arrivals, self.paused), eta, mode)

    @property
    def best(self) -> FinishedTrial | None:
        """The winner so far, or None; see `ranked`."""
        return next(iter(self.ranked()), None)

    def ranked(self, *, unfinished: bool = False) -> list[FinishedTrial]:
        """All trials with a value that satisfy the constraints, best first; see `bmtune.records.ranked`.

        Trials that have ended can win, and paused ones as if they ended now: a search may be interrupted before that.

        Args:
            unfinished: Whether trials that still run can win too, as if they ended now.
        """
        return self._ranking(unfinished=unfinished).ranked()

    def pareto(self, *, unfinished: bool = False) -> list[FinishedTrial]:
        """With several objectives, of `ranked` those that no other trial beats; else none."""
        return self._ranking(unfinished=unfinished).pareto()

    def nearest(self) -> FinishedTrial | None:
        """The measured trial that violates the constraints least, or None."""
        return self._ranking(unfinished=True).nearest()

    def _ranking(self, *, unfinished: bool) -> Ranking:
        open_ones = self.running if unfinished else self.paused
        return Ranking([*self.finished.values(), *map(self._ended_now, open_ones)], self.aims, promotes=self._promotes)

    def _ended_now(self, number: int) -> FinishedTrial:
        trial, rung = self.running[number], self.paused.get(number)
        end = TrialFinished(
            trial=number,
            status="pruned",
            reason="still running" if rung is None else f"paused at rung {rung}",
            value=self.value_of(trial),
            best_epoch=trial.best_epoch,
            best_metrics=trial.best_metrics,
            # Nothing was recorded, so there is no time either.
            time=0.0,
        )
        return FinishedTrial(trial, end)

    def apply(self, record: Record) -> None:
        """Takes one record in.

        Raises:
            ValueError: The record cannot follow those before it.
        """
        if not isinstance(record, Epoch | CheckpointWritten):
            self._promotion_is_known = False
        match record:
            case RunStarted():
                if self.header is not None:
                    raise ValueError("a run must begin once")
                self.header = record
            case RunFinished():
                self.end = record
            case RunResumed():
                self.end = None
            case TrialTaken():
                self._trials.take(record, distributions(self.space, record.params))
                self.taken.append(record)
            case TrialEnqueued():
                self._enqueue(record)
            case Notice():
                pass
            case _:
                self._of_trial(record)

    def _of_trial(self, record: TrialRecord) -> None:
        match record:
            case TrialStarted():
                self._start(record)
            case PretrainingShared():
                self.running[record.trial] = replace(self._trial(record.trial), shared=True)
            case Epoch():
                self._epoch(record)
            case Rung():
                self._rung(record)
            case TrialPromoted():
                self._promote(record)
            case CheckpointWritten():
                trial = self._trial(record.trial)
                paths = {**trial.checkpoints, record.which: record.path}
                self.running[record.trial] = replace(trial, checkpoints=paths)
            case TrialFinished():
                self._finish(record)

    def _trial(self, number: int) -> RunningTrial:
        if number not in self.running:
            raise ValueError(f"trial {number} must be running, but it is not")
        return self.running[number]

    def _enqueue(self, record: TrialEnqueued) -> None:
        if self.num_started:
            raise ValueError("a configuration to try first must come before the first trial")
        distributions(self.space, record.params)
        self.enqueued.append(record.params)

    def _start(self, record: TrialStarted) -> None:
        if record.trial != self.num_started:
            raise ValueError(f"the next trial must be number {self.num_started}, but got {record.trial}")
        self._trials.start(record.trial, record.params, distributions(self.space, record.params))
        self.running[record.trial] = RunningTrial(record.trial, record.params, record.seed)
        self._seen[record.trial] = set()

    def _epoch(self, record: Epoch) -> None:
        trial = self._trial(record.trial)
        if (record.phase, record.epoch) in self._seen[record.trial]:
            raise ValueError(
                f"an epoch must come once, but {record.phase} {record.epoch} of trial {record.trial} is there"
            )
        self._seen[record.trial].add((record.phase, record.epoch))
        if record.budget < trial.budget:
            # It was lost from the records, and the trial that was trained again is on its way to where it was.
            return
        self.running[record.trial] = replace(
            trial, budget=record.budget, best_epoch=record.best_epoch, best_metrics=record.best_metrics
        )
        value = record.metrics.get(self.objective.metric)
        # A main epoch is finished by the report that counts it: its own, or that of the retraining it needed.
        if value is not None and record.budget > trial.budget and record.eligible:
            self._trials.report(record.trial, record.budget, value)

    def _rung(self, record: Rung) -> None:
        trial = self._trial(record.trial)
        plain = self.aims.is_plain
        arrival = (
            Arrival(record.trial, record.value) if plain else self._arrival(record.trial, record.value, record.values)
        )
        self.arrivals.setdefault(record.rung, []).append(arrival)
        if record.decision in ("stop", "pause"):
            self.running[record.trial] = replace(trial, stopped_at=record.rung)
        else:
            self.running[record.trial] = replace(trial, passed=trial.passed + 1)
        if record.decision == "pause":
            self.paused[record.trial] = record.rung
        if record.decision in ("pause", "promote"):
            self._promotes = True
            self._trials.measure(record.trial)

    def _promote(self, record: TrialPromoted) -> None:
        trial = self._trial(record.trial)
        if self.paused.get(record.trial) != record.rung:
            raise ValueError(f"trial {record.trial} must be paused at rung {record.rung}, but it is not")
        del self.paused[record.trial]
        self.running[record.trial] = replace(trial, stopped_at=None, passed=trial.passed + 1)

    def _finish(self, record: TrialFinished) -> None:
        trial = self._trial(record.trial)
        del self.running[record.trial]
        del self._seen[record.trial]
        self.paused.pop(record.trial, None)
        self.finished[record.trial] = FinishedTrial(trial, record)
        if record.status == "completed" and record.value is not None and math.isfinite(record.value):
            self._trials.end(record.trial, OptunaState.COMPLETE, record.value)
        else:
            ended = OptunaState.PRUNED if record.status == "pruned" else OptunaState.FAIL
            self._trials.end(record.trial, ended)
