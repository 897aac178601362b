"""The numbers that a page draws its figures from, as plain data for its script."""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from bmtune.config.dimensions import CategoricalDimension
from bmtune.config.dimensions import Dimension
from bmtune.errors import ConfigError
from bmtune.reports.common_epoch import CommonEpoch
from bmtune.reports.history import RunHistory
from bmtune.reports.history import RunRead
from bmtune.reports.history import Span
from bmtune.reports.history import TrialCourse
from bmtune.reports.naming import short_names
from bmtune.reports.thinning import points_each
from bmtune.reports.thinning import thinned

MOST_METRICS = 6
"""Metrics whose learning curves a page has."""

Curve = tuple[list[int], list[float]]
"""Epochs of the main phase, and the values there."""


def figure_data(
    read: RunRead, common: CommonEpoch, metric: str | None = None, base: int | None = None
) -> dict[str, JsonValue]:
    """Everything that the figures of a page show, without a number that JSON has no word for.

    Args:
        read: The run.
        common: The epoch at which its trials are compared, and their values.
        metric: The metric whose curves come first; None: the objective.
        base: Number of the trial that had the base configuration.

    Raises:
        ConfigError: `metric` was not recorded.
    """
    history = read.history
    ranks = {trial.trial: rank for rank, trial in enumerate(history.progress.ranked(), start=1)}
    objective = history.started.objective
    names = curve_metrics(history, metric)
    shared = {entry.trial: entry.value for entry in common.trials}
    dimensions = dict(read.space.parameters)
    data: dict[str, Any] = {
        "objective": {"name": objective.metric, "mode": objective.mode},
        "maxEpochs": history.started.max_epochs,
        "rungs": sorted({rung.rung for course in history.courses.values() for rung in course.rungs}),
        "base": base,
        "parameters": _axes(dimensions),
        "trials": [_trial(history, number, ranks.get(number), dimensions) for number in history.courses],
        "metrics": names,
        "curves": curves(history, names),
        "common": {"epoch": common.epoch, "values": [_plain(shared.get(number)) for number in history.courses]},
        "seconds": round(history.seconds, 3),
        "incumbents": [
            [found.epochs, round(found.seconds, 3), found.value, found.trial] for found in history.incumbents
        ],
        "slots": slots([course.spans for course in history.courses.values()]),
    }
    return data


def curve_metrics(history: RunHistory, first: str | None = None) -> list[str]:
    """The metrics whose curves are drawn: `first`, the objective, then other validation metrics.

    Raises:
        ConfigError: `first` was not recorded in the main phase.
    """
    recorded = recorded_metrics(history)
    if first is not None and first not in recorded:
        known = f"these were: {', '.join(recorded)}" if recorded else "none was yet"
        raise ConfigError(
            f"a metric must be one that was recorded, but {first!r} was not (command line: --metric); {known}"
        )
    objective = history.started.objective.metric
    shown = [name for name in recorded if not name.startswith(("train/", "start/"))]
    found = dict.fromkeys([*([first] if first else []), *([objective] if objective in recorded else []), *shown])
    return list(found)[:MOST_METRICS]


def recorded_metrics(history: RunHistory) -> list[str]:
    """The metrics of the main phase, in order of their first."""
    names = (name for course in history.courses.values() for main in course.main for name in main.metrics)
    return list(dict.fromkeys(names))


def curves(history: RunHistory, names: Sequence[str]) -> dict[str, list[Curve]]:
    """By metric, the curve of each trial in order of the trials, with few enough points for a page."""
    most = points_each(len(names) * len(history.courses))
    return {
        name: [
            _curve(course, name, history.progress.trials[number].best_epoch, most)
            for number, course in history.courses.items()
        ]
        for name in names
    }


def _curve(course: TrialCourse, name: str, best_epoch: int | None, most: int) -> Curve:
    points = [
        (main.budget, main.metrics[name])
        for main in course.main
        if name in main.metrics and math.isfinite(main.metrics[name])
    ]
    keep = next((position for position, (epoch, _) in enumerate(points) if epoch == best_epoch), None)
    chosen = thinned([value for _, value in points], most, keep)
    return [points[position][0] for position in chosen], [_short(points[position][1]) for position in chosen]


def _trial(
    history: RunHistory, number: int, rank: int | None, dimensions: Mapping[str, Dimension]
) -> dict[str, JsonValue]:
    trial, course = history.progress.trials[number], history.courses[number]
    return {
        "number": number,
        "state": trial.state,
        "rank": rank,
        "value": history.progress.value(trial),
        "bestEpoch": trial.best_epoch,
        "epochs": trial.budget,
        "values": [_coordinate(trial.params.get(path), dimension) for path, dimension in dimensions.items()],
        "spans": [[round(span.begin, 3), round(span.end, 3)] for span in course.spans],
    }


def _axes(dimensions: Mapping[str, Dimension]) -> list[dict[str, JsonValue]]:
    names = short_names(list(dimensions))
    axes: list[dict[str, JsonValue]] = []
    for path, dimension in dimensions.items():
        axis: dict[str, JsonValue] = {"path": path, "name": names[path], "type": dimension.type}
        if isinstance(dimension, CategoricalDimension):
            axis["choices"] = [str(choice) for choice in dimension.choices]
        else:
            axis |= {"low": dimension.low, "high": dimension.high, "log": dimension.log}
        axes.append(axis)
    return axes


def _coordinate(value: JsonValue, dimension: Dimension) -> JsonValue:
    """A searched value as its axis has it: the number, or the position of the choice; None: the trial has none."""
    if not isinstance(dimension, CategoricalDimension):
        return value
    # True equals 1: the text tells them apart.
    return next(
        (place for place, choice in enumerate(dimension.choices) if repr(_plain_list(choice)) == repr(value)), None
    )


def _plain_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def slots(spans: Sequence[Sequence[Span]]) -> list[list[int]]:
    """A row for each stretch of each trial: the first that is free when it begins, so that none of a row overlap."""
    order = sorted(
        ((span.begin, trial, position) for trial, found in enumerate(spans) for position, span in enumerate(found))
    )
    free: list[float] = []
    rows = [[0] * len(found) for found in spans]
    for begin, trial, position in order:
        row = next((row for row, end in enumerate(free) if end <= begin), len(free))
        free[row : row + 1] = [spans[trial][position].end]
        rows[trial][position] = row
    return rows


def _plain(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _short(value: float) -> float:
    """Five significant digits: more than a figure can show."""
    return float(f"{value:.5g}")
