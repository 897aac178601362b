"""Trials that ended, in the order in which they win."""

from collections.abc import Iterable

from bmtune.records import Aims
from bmtune.records import Point
from bmtune.records import Standing
from bmtune.records import merit
from bmtune.records import nearest
from bmtune.records import pareto_set
from bmtune.records import ranked
from bmtune.search.trials import FinishedTrial


class Ranking:
    """Those that were measured and did not fail."""

    def __init__(self, trials: Iterable[FinishedTrial], aims: Aims, *, promotes: bool) -> None:
        """A ranking by what `aims` count; `promotes` says whether halving promotes trials in this run."""
        self._trials: dict[int, FinishedTrial] = {}
        self._standings: list[Standing] = []
        for trial in trials:
            point = _point(trial, aims)
            if point is not None:
                held, whole = trial.run.stopped_at is not None, trial.end.status == "completed"
                worth = merit(passed=trial.run.passed, held=held, whole=whole, promotes=promotes)
                self._trials[trial.run.number] = trial
                self._standings.append(Standing(trial.run.number, worth, point))

    def ranked(self) -> list[FinishedTrial]:
        """All that satisfy the constraints, best first; see `bmtune.records.ranked`."""
        return [self._trials[number] for number in ranked(self._standings)]

    def pareto(self) -> list[FinishedTrial]:
        """With several objectives, of `ranked` those that no other trial beats; else none."""
        return [self._trials[number] for number in pareto_set(self._standings)]

    def nearest(self) -> FinishedTrial | None:
        """The one that violates the constraints least, or None."""
        number = nearest(self._standings)
        return None if number is None else self._trials[number]


def _point(trial: FinishedTrial, aims: Aims) -> Point | None:
    if trial.end.status == "failed" or trial.end.value is None:
        return None
    # The value is what counts, and is there where older records lack metrics.
    return aims.point({**(trial.end.best_metrics or {}), aims.objectives[0].metric: trial.end.value})
