"""The report of a run: one HTML page that holds everything and asks nothing of any network."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from bmtune.config.paths import get
from bmtune.config.space_model import plain
from bmtune.config.yaml_text import dump
from bmtune.reports.common_epoch import CommonEpoch
from bmtune.reports.cost import cost_of
from bmtune.reports.failures import failures_of
from bmtune.reports.figures import figure_data
from bmtune.reports.history import RunRead
from bmtune.reports.html import in_words
from bmtune.reports.html import render
from bmtune.reports.naming import short_names
from bmtune.reports.pareto_text import shown_metrics
from bmtune.reports.pictures import pictures_of
from bmtune.reports.progress import TrialProgress
from bmtune.reports.summary import best_of
from bmtune.reports.verdict import aim
from bmtune.reports.verdict import base_trial
from bmtune.reports.verdict import metric_rows
from bmtune.reports.verdict import sentences
from bmtune.reports.verdict import state_of
from bmtune.reports.verdict import unmeasured

SCRIPTS = ("figure.js", "curves.js", "parallel.js", "panels.js", "page.js")
MOST_ROWS = 1000
"""Trials in the page's table, the best first; `bmtune export` has all."""


@dataclass(frozen=True)
class ImportanceRow:
    """How much one hyperparameter decides whether a trial is among the best.

    Attributes:
        path: The hyperparameter.
        share: Its part of all importances, 0 to 1.
        chance: What it would seldom exceed by chance.
    """

    path: str
    share: float
    chance: float


@dataclass(frozen=True)
class ImportanceTable:
    """Importances, computed by whoever can: this package only shows them.

    Attributes:
        rows: The most important first; empty where there were too few trials.
        trials: Trials that were compared.
        top: How many of them counted as the best.
        fewest: With fewer trials nothing is computed.
        steady: From so many trials on the best tenth is large enough.
    """

    rows: tuple[ImportanceRow, ...]
    trials: int
    top: int
    fewest: int
    steady: int


def report_page(read: RunRead, common: CommonEpoch, importances: ImportanceTable, metric: str | None = None) -> str:
    """The page.

    Args:
        read: The run.
        common: The epoch at which its trials are compared.
        importances: What decides, at that epoch.
        metric: The metric whose learning curves come first; None: the objective.

    Raises:
        ConfigError: `metric` was not recorded.
        FormatError: `best.yaml` has a format or version that this release does not read.
    """
    history = read.history
    base = base_trial(history, read.space)
    context: dict[str, Any] = {
        "started": history.started,
        "aim": aim(history),
        "state": state_of(history),
        "unfinished": f"{read.written:%Y-%m-%d %H:%M} UTC" if history.progress.finished is None else None,
        "notices": [*history.progress.notices, *([read.notice] if read.notice else [])],
        "unmeasured": None if history.progress.ranked() else unmeasured(history),
        "winner": _winner(read, base) if history.progress.ranked() else None,
        "common": common,
        "importances": importances,
        "names": short_names([path for path, _ in read.space.parameters]),
        "cost": cost_of(history),
        "failures": failures_of(history),
        "table": _table(read),
        "space": _space_rows(read),
        "settings": read.space.run,
        "budget": read.space.budget,
        "promotes": history.progress.promotes,
        "main": read.space.base,
        "commands": _commands(read),
        "data": figure_data(read, common, metric, None if base is None else base.trial),
    }
    return render("report.html", SCRIPTS, context)


def _winner(read: RunRead, base: TrialProgress | None) -> dict[str, Any]:
    history = read.history
    # Where fresh seeds decided, the winner need not be the first of the search.
    best, _ = best_of(history.progress, read.space, read.folder)
    entry = best.best
    content = best.model_dump(mode="json")
    return {
        "entry": entry,
        "budget": history.progress.trials[entry.trial].budget,
        "sentences": sentences(history, entry, base),
        "metrics": metric_rows(history, entry, base),
        "is_base": base is not None and base.trial == entry.trial,
        "base": base,
        "changes": _changes(read, entry.trial),
        "confirmation": confirmation_rows(content),
        "pareto": {"metrics": shown_metrics(best), "rows": best.pareto} if best.pareto else None,
        "yaml": dump(content),
        "pictures": pictures_of(read.folder, entry.trial, entry.epoch),
        "tested": any(name.startswith("test/") for name in entry.metrics),
        "test": entry.metrics.get(f"test/{history.started.objective.metric}"),
    }


def confirmation_rows(best: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """What `best.yaml` says of trainings of the winner with fresh seeds, as (key, value in words).

    The section may hold what it likes: a list of sections becomes a row for each of them, and anything else one row.

    Args:
        best: The content of `best.yaml`; without a section `confirmation` there are no rows.
    """
    found = best.get("confirmation")
    if not isinstance(found, dict):
        return []
    rows: list[tuple[str, str]] = []
    for key, value in found.items():
        parts = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        rows += [(key.replace("_", " "), in_words(part)) for part in parts]
    return rows


def _changes(read: RunRead, trial: int) -> list[tuple[str, JsonValue, JsonValue]]:
    """(path, base, winner) of each searched value of the winner."""
    base = read.space.base_params()
    params = read.history.progress.trials[trial].params
    return [(path, base.get(path), params.get(path)) for path, _ in read.space.parameters if path in {**base, **params}]


def _table(read: RunRead) -> dict[str, Any]:
    """The table of all trials: those with a rank first, then the others in order."""
    progress = read.history.progress
    ranked = progress.ranked()
    known = {trial.trial for trial in ranked}
    trials = [*ranked, *(trial for trial in progress.trials.values() if trial.trial not in known)]
    return {
        "paths": [path for path, _ in read.space.parameters],
        "rows": [
            (rank if trial.trial in known else None, trial, progress.value(trial))
            for rank, trial in enumerate(trials[:MOST_ROWS], start=1)
        ],
        "left_out": max(0, len(trials) - MOST_ROWS),
    }


def _space_rows(read: RunRead) -> list[tuple[str, str, str, JsonValue]]:
    """(path, range, scale, base value) of each searched dimension."""
    return [
        (
            path,
            dimension.describe(),
            "logarithmic" if getattr(dimension, "log", False) else "",
            _of_base(read, path),
        )
        for path, dimension in read.space.parameters
    ]


def _of_base(read: RunRead, path: str) -> JsonValue:
    try:
        return plain(get(read.space.base, path))
    except KeyError:
        # The base configuration chose a member of a union that has no such field.
        return None


def _commands(read: RunRead) -> list[tuple[str, str]]:
    """(what it does, command) for a shell."""
    folder = shlex.quote(str(read.folder))
    file = shlex.quote(str(read.folder / "best.yaml"))
    search = shlex.quote(str(read.folder / "search.yaml"))
    found = [
        ("searches again, with the same space, budget and seed", f"bmtune search {read.space.trainer} --space {search}")
    ]
    if read.history.progress.ranked():
        if not (read.folder / "best.yaml").is_file():
            found.append(("writes the best configuration so far", f"bmtune best {folder} > {file}"))
        found.append(("trains the winner for its whole budget", f"bmtune train {file}"))
    if (read.folder / "best").is_dir():
        found.append(("measures the winner on its test rows", f"bmtune evaluate {folder}"))
    found.append(("has every value of every epoch as a table", f"bmtune export {folder} --table epochs --format csv"))
    return found
