"""What a new run learns from an old one: trials that it might have proposed, as far as it would have trained them."""

import math
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Literal

from bmtune.config.paths import get
from bmtune.config.root import TrialConfig
from bmtune.config.space_model import MAIN_PHASE
from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.config.space_model import is_active
from bmtune.config.space_model import plain
from bmtune.records import Aims
from bmtune.records import Epoch
from bmtune.records import Metrics
from bmtune.records import Notice
from bmtune.records import Point
from bmtune.records import Record
from bmtune.records import Rung
from bmtune.records import TrialFinished
from bmtune.records import TrialStarted
from bmtune.records import TrialTaken
from bmtune.records import beats


@dataclass
class _Old:
    """An old trial: what it was, and what counts in the new run by epochs of its main phase."""

    started: TrialStarted
    budget: int = 0
    values: dict[int, Metrics] = field(default_factory=dict)
    ended: bool = False
    status: str = "pruned"


def learned(
    old: SearchSpace, run: str, records: Iterable[Record], new: SearchSpace, *, same_data: bool
) -> tuple[TrialTaken | Notice, ...]:
    """The records with which a new run says what it learns from an old one.

    A trial that ended counts, and one that waits at a rung as if it had ended there. It must have the configuration of
    a trial that the new space may propose, seeds and budget aside, and a value of the new objective.

    Args:
        old: The search that the old run was.
        run: Its name.
        records: Its records.
        new: The search that begins.
        same_data: Whether both have the same rows.
    """
    trials = [trial for trial in _trials(records, new).values() if trial.ended and trial.status != "failed"]
    taken = [found for trial in trials if same_data and (found := _taken(trial, old, run, new)) is not None]
    text = f"this run learns from {len(taken)} of the {len(trials)} finished trials of {run}"
    if not same_data:
        text += ", because it has other data"
    elif len(taken) < len(trials):
        text += "; it could not have proposed the others, or has no value of them"
    return (*taken, Notice(text=text))


def _trials(records: Iterable[Record], new: SearchSpace) -> dict[int, _Old]:
    trials: dict[int, _Old] = {}
    for record in records:
        match record:
            case TrialStarted():
                trials[record.trial] = _Old(record)
            case Epoch():
                _take_epoch(trials[record.trial], record, new.aims)
            case Rung():
                trials[record.trial].ended = record.decision in ("pause", "stop")
            case TrialFinished():
                trials[record.trial].ended, trials[record.trial].status = True, record.status
    return trials


def _take_epoch(trial: _Old, record: Epoch, aims: Aims) -> None:
    values = aims.counted(record.metrics)
    # As in the search itself: an epoch counts with the report that finishes it.
    if values is not None and record.budget > trial.budget and record.eligible:
        trial.values[record.budget] = values
    trial.budget, trial.ended = max(trial.budget, record.budget), False


def _taken(trial: _Old, old: SearchSpace, run: str, new: SearchSpace) -> TrialTaken | None:
    """An old trial as the new run takes it, or None."""
    most = new.budget.max_epochs
    aims, first = new.aims, new.objective.name
    found = {epoch: values for epoch, values in trial.values.items() if epoch <= most and not math.isnan(values[first])}
    params = params_in(new, old.configure(trial.started.params))
    best = _best_epoch(found, aims)
    if best is None or params is None:
        return None
    return TrialTaken(
        from_run=run,
        from_trial=trial.started.trial,
        params=params,
        status=_status(trial, old.budget.max_epochs, most),
        value=found[best][first],
        values={epoch: values[first] for epoch, values in found.items()},
        metrics=None if aims.is_plain else found[best],
    )


def _best_epoch(found: Mapping[int, Metrics], aims: Aims) -> int | None:
    """The epoch that the trainer would have kept: the latest that none before it equals or beats; None: none."""
    before: list[Point] = []
    best = None
    for epoch in sorted(found):
        point = aims.point(found[epoch])
        if point is not None and not any(known == point or beats(known, point) for known in before):
            best = epoch
            before.append(point)
    return best


def _status(trial: _Old, before: int, most: int) -> Literal["completed", "pruned"]:
    """Whether a trial would have come to its end with a budget of `most` epochs; it had one of `before`."""
    by_itself = trial.status == "completed" and (trial.budget < before or most <= before)
    return "completed" if by_itself or trial.budget >= most else "pruned"


def params_in(space: SearchSpace, config: TrialConfig) -> Params | None:
    """The searched values with which a space gives this configuration, seeds and budget aside; None where none do."""
    params = searched_values(space, config)
    if isinstance(params, Misfit):
        return None
    same = compared(space, space.configure(params)) == compared(space, config)
    return params if same else None


@dataclass(frozen=True)
class Misfit:
    """Why a configuration has no place in a space, as the end of a sentence."""

    reason: str


def searched_values(space: SearchSpace, config: TrialConfig) -> Params | Misfit:
    """The values that a configuration has of what a space searches, whatever else it holds."""
    params: Params = {}
    for path, dimension in space.parameters:
        if is_active(dimension, params):
            try:
                value = plain(get(config, path))
            except KeyError:
                return Misfit(f"it has no {path}, which is searched")
            if not dimension.contains(value):
                return Misfit(f"its {path} is {value}, outside {dimension.describe()}")
            params[path] = value
    return params


def compared(space: SearchSpace, config: TrialConfig) -> Mapping[str, Any]:
    """A configuration without what the search sets."""
    raw = config.model_dump(mode="json", exclude={"name", "seed", "pre_seed", "best_epoch"})
    main = raw["trainer"][MAIN_PHASE[space.trainer].removeprefix("trainer.")]
    for name in ("max_epoch", "stop_crit", "metrics"):
        del main[name]
    return raw
