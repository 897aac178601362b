"""The tables of a run: a row for each trial, or for each epoch of each phase of each trial."""

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from bmtune.reports.history import RunHistory

TableName = Literal["trials", "epochs"]


@dataclass(frozen=True)
class Table:
    """Rows of equal length; None stands for a value that is missing.

    Attributes:
        columns: Their names.
        rows: Values in order of the columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]


def make_table(history: RunHistory, name: TableName) -> Table:
    """The table of that name; searched values stand in columns `params.PATH`, measured ones in `metrics.NAME`."""
    return trials_table(history) if name == "trials" else epochs_table(history)


def trials_table(history: RunHistory) -> Table:
    """One row a trial: how it ended, its searched values, and its metrics at its best epoch.

    `seconds` is the time of all its epochs, `began_s` and `ended_s` are seconds of the search, and `rank` is the place
    among the trials that may win. With several objectives `value` is that of the first, and `pareto` says whether no
    other trial beats this one.
    """
    progress = history.progress
    ranks = {trial.trial: rank for rank, trial in enumerate(progress.ranked(), start=1)}
    several = len(progress.aims.objectives) > 1
    members = {trial.trial for trial in progress.pareto()}
    paths = _names(trial.params for trial in progress.trials.values())
    metrics = _names(trial.best_metrics or {} for trial in progress.trials.values())
    rows: list[tuple[JsonValue, ...]] = []
    for number, trial in progress.trials.items():
        course = history.courses[number]
        best = trial.best_metrics or {}
        facts = (
            number,
            trial.state,
            trial.reason or None,
            ranks.get(number),
            best.get(history.started.objective.metric),
        )
        spent = (trial.best_epoch, trial.budget, len(course.epochs), course.seconds, course.began, course.ended)
        measured = (best.get(name) for name in metrics)
        member = (number in members,) if several else ()
        rows.append((*facts, *spent, trial.seed, *member, *(trial.params.get(path) for path in paths), *measured))
    names = ("trial", "state", "reason", "rank", "value", "best_epoch", "epochs", "epochs_all_phases", "seconds")
    more = ("pareto",) if several else ()
    return Table(_columns((*names, "began_s", "ended_s", "seed", *more), paths, metrics), tuple(rows))


def epochs_table(history: RunHistory) -> Table:
    """One row an epoch of a phase: its searched values and what was measured.

    `budget` counts the finished epochs of the main phase, and `eligible` says whether the epoch may be the best.
    """
    trials = history.progress.trials
    paths = _names(trial.params for trial in trials.values())
    metrics = _names(epoch.metrics for course in history.courses.values() for epoch in course.epochs)
    rows: list[tuple[JsonValue, ...]] = []
    for number, course in history.courses.items():
        params = tuple(trials[number].params.get(path) for path in paths)
        for epoch in course.epochs:
            facts = (number, epoch.phase, epoch.epoch, epoch.budget, epoch.eligible, epoch.seconds)
            rows.append((*facts, *params, *(epoch.metrics.get(name) for name in metrics)))
    return Table(_columns(("trial", "phase", "epoch", "budget", "eligible", "seconds"), paths, metrics), tuple(rows))


def _columns(first: Iterable[str], paths: Iterable[str], metrics: Iterable[str]) -> tuple[str, ...]:
    return (*first, *(f"params.{path}" for path in paths), *(f"metrics.{name}" for name in metrics))


def _names(mappings: Iterable[Iterable[str]]) -> list[str]:
    """All keys, in order of their first."""
    return list(dict.fromkeys(_all(mappings)))


def _all(mappings: Iterable[Iterable[str]]) -> Iterator[str]:
    for mapping in mappings:
        yield from mapping
