"""A run that is there: where it lies, which search it is, and what another search would change about it."""

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from bmtune.config.space import load_space
from bmtune.config.space_model import MAIN_PHASE
from bmtune.config.space_model import SearchSpace
from bmtune.errors import RunFolderError
from bmtune.records import Change
from bmtune.records import Glance
from bmtune.records import RunStarted
from bmtune.records import glance
from bmtune.search.halving import halving_mode
from bmtune.search.request import SearchRequest

RECORDS_FILE = "records.jsonl"
SEARCH_FILE = "search.yaml"

RUN_SETTINGS = (
    *("time_budget_s", "pack", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "report_every_s"),
    *("checkpoint_every", "max_failures", "pre_cache", "wandb", "confirm", "resources"),
)
"""Settings of `run` that say how trials are trained and not what they come to."""

MAY_CHANGE = frozenset({"budget.trials", *(f"run.{name}" for name in RUN_SETTINGS)})
"""What may be otherwise when a run goes on."""

MOST_SHOWN = 8
"""Differences that a message lists."""


@dataclass(frozen=True)
class OldRun:
    """The run that a search goes on with, or learns from.

    Attributes:
        folder: Where it lies.
        data_hash: Of the content of its data set; None where it has not recorded anything yet.
        goes_on: Whether the run itself goes on; else a new one learns from it.
        force: Whether a new one may learn from it, where it cannot go on.
        changes: What is otherwise from here on.
        ended: Why it ended, where it did and nothing more was asked of it; else None.
        num_started: Trials that it has started.
    """

    folder: Path
    data_hash: str | None
    goes_on: bool = True
    force: bool = False
    changes: tuple[Change, ...] = ()
    ended: str | None = None
    num_started: int = 0


def find_run(request: SearchRequest) -> Path:
    """The folder of the run that a request resumes: the named one, or the one that was written last.

    Raises:
        RunFolderError: There is none.
    """
    storage = request.storage
    runs = sorted(path.parent for path in storage.glob(f"*/{SEARCH_FILE}"))
    if request.name is not None:
        folder = storage / request.name
        if folder in runs:
            return folder
        known = f"runs there are {_list([run.name for run in runs])}" if runs else "there is none"
        raise RunFolderError(
            f"a run must be there to be resumed, but {folder} holds none ({known}); "
            "give another --name or --storage, or leave --resume away to start it"
        )
    if not runs:
        raise RunFolderError(
            f"a run must be there to be resumed, but {storage} holds none; give --storage, or leave --resume away"
        )
    return max(runs, key=_written_at)


def _written_at(folder: Path) -> float:
    return max(path.stat().st_mtime for name in (RECORDS_FILE, SEARCH_FILE) if (path := folder / name).exists())


def look_at(folder: Path) -> tuple[SearchSpace, Glance]:
    """The search of a run, and what can be told of its records at a glance.

    Raises:
        ConfigError: `search.yaml` breaks a rule.
        FormatError: The records are unreadable from their first line on.
    """
    seen = glance(folder / RECORDS_FILE)
    return as_it_ran(load_space(folder / SEARCH_FILE), seen.header), seen


def as_it_ran(space: SearchSpace, header: RunStarted | None = None) -> SearchSpace:
    """The space with the halving that it had: left open, it depends on packs, which may change when a run goes on.

    Args:
        space: As `search.yaml` has it.
        header: First record of the run; one of version 1 knew no trial that pauses.
    """
    packs = space.run.pack != 1 and (header is None or header.version > 1)
    mode = halving_mode(space.run.halving, packs=packs)
    return replace(space, run=space.run.model_copy(update={"halving": mode}))


def with_run_settings(space: SearchSpace, old: SearchSpace, request: SearchRequest) -> SearchSpace:
    """Another space with everything that may change taken from the old one, unless it was asked for."""
    kept = {name: getattr(old.run, name) for name in RUN_SETTINGS if getattr(request, name, None) is None}
    trials = request.trials or old.budget.trials
    return replace(
        space, run=space.run.model_copy(update=kept), budget=space.budget.model_copy(update={"trials": trials})
    )


def differences(old: SearchSpace, new: SearchSpace) -> tuple[Change, ...]:
    """What is otherwise in `new`, by dotted path, in the order of `search.yaml`."""
    before, after = dict(_flat(old.to_mapping())), dict(_flat(new.to_mapping()))
    told_once = {"objective.metric", "objective.constraints", "budget.max_epochs"}
    derived = _derived(old) if told_once & _different(before, after) else set()
    found = _different(before, after) - derived
    keys = [key for key in (*before, *(key for key in after if key not in before)) if key in found]
    return tuple(Change(key=key, before=before.get(key), after=after.get(key)) for key in keys)


def _different(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> set[str]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _derived(space: SearchSpace) -> set[str]:
    """Where the base follows the objective and the budget: told once is enough."""
    main = f"base.{MAIN_PHASE[space.trainer]}"
    of_main = {f"{main}.{name}" for name in ("max_epoch", "stop_crit", "metrics")}
    return of_main | {"version", "base.best_epoch.objectives", "base.best_epoch.constraints"}


def _flat(value: JsonValue, before: str = "") -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict) and value and not before.endswith((".metrics", "run.resources")):
        for key, entry in value.items():
            yield from _flat(entry, f"{before}.{key}" if before else key)
    else:
        yield before, value


def told(changes: tuple[Change, ...]) -> str:
    """`run.seed: 0 -> 3, budget.max_epochs: 20 -> 30`."""
    return _list([f"{change.key}: {_short(change.before)} -> {_short(change.after)}" for change in changes])


def _short(value: JsonValue) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _list(entries: list[str]) -> str:
    more = len(entries) - MOST_SHOWN
    return ", ".join(entries[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def next_folder(folder: Path) -> Path:
    """A folder beside `folder` that is not there: its name with -2, -3, ..."""
    number = 2
    while (found := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return found
