"""The winner of a search, or its Pareto set: its checkpoint, its test metrics and `best.yaml`."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from bmtune.checkpoints import read_checkpoint
from bmtune.checkpoints import write_checkpoint
from bmtune.config.best import MOST_PARETO
from bmtune.config.best import BestEntry
from bmtune.config.best import BestFile
from bmtune.config.best import ObjectiveEntry
from bmtune.config.best import ParetoEntry
from bmtune.config.best import TrialCounts
from bmtune.config.best import write_best
from bmtune.config.constraints import write_constraint
from bmtune.config.names import within
from bmtune.config.root import TrialConfig
from bmtune.disk_space import Patience
from bmtune.errors import CheckpointError
from bmtune.records import Notice
from bmtune.search.ledger import Ledger
from bmtune.search.state import SearchState
from bmtune.search.trials import FinishedTrial

BEST_FOLDER = "best"
BEST_FILE = "best.yaml"

OnTestRows = Callable[[TrialConfig, Mapping[str, Tensor]], dict[str, float]]
"""(configuration, trained cores) -> metrics on the test rows."""


def counts(state: SearchState) -> TrialCounts:
    """How the trials ended."""
    return TrialCounts(
        total=state.num_started,
        completed=state.count("completed"),
        pruned=state.count("pruned"),
        failed=state.count("failed"),
    )


def trial_config(state: SearchState, params: Mapping[str, object], seed: int) -> TrialConfig:
    """The whole configuration of a trial."""
    return state.space.configure(params).model_copy(update={"seed": seed})


def keep_winner(
    ledger: Ledger, folder: Path, on_test_rows: OnTestRows, patience: Patience, *, unfinished: bool = False
) -> BestFile | None:
    """Measures the best trial on the test rows, once, and writes `best/` and `best.yaml`.

    With several objectives so it does all of the Pareto set, whose first one counts as the best trial.

    A trial whose checkpoint is damaged cannot win: then the next best one does, and a notice says so.

    Args:
        ledger: The search, at its end.
        folder: The run folder.
        on_test_rows: Measures trained cores.
        patience: How a full disk is waited for.
        unfinished: Whether trials that still run can win, as if they ended now.

    Returns:
        What was written; None where no trial could be measured, and then nothing is.
    """
    state = ledger.state
    ranked = state.ranked(unfinished=unfinished)
    first = next(_sound(ledger, folder, ranked), None)
    if first is None:
        return None
    trial, tensors, facts = first
    config = trial_config(state, trial.run.params, trial.run.seed)
    metrics = _with_test(facts["metrics"], on_test_rows(config, tensors))
    content = _content(state, _entry(state, trial, config, facts["epoch"], metrics))
    if len(state.aims.objectives) > 1:
        winner = _pareto_entry(trial, facts["epoch"], metrics)
        members = [
            other for other in state.pareto(unfinished=unfinished)[:MOST_PARETO] if other.run.number != trial.run.number
        ]
        # An interrupted search has no time for more than its winner.
        others = _others(ledger, folder, members, None if unfinished else on_test_rows)
        content = content.model_copy(update={"pareto": (winner, *others)})
    keep = partial(_keep, folder, tensors, {**facts, "metrics": metrics}, content)
    patience.wait_for_room(keep, BEST_FILE, folder)
    return content


def _with_test(metrics: Mapping[str, float], test: Mapping[str, float]) -> dict[str, float]:
    return {**metrics, **{f"test/{name}": value for name, value in test.items()}}


Sound = tuple[FinishedTrial, Mapping[str, Tensor], dict[str, Any]]
"""A trial, with the tensors and the facts of its best checkpoint."""


def _sound(ledger: Ledger, folder: Path, ranked: Iterable[FinishedTrial]) -> Iterator[Sound]:
    """The trials whose checkpoint can be read."""
    for trial in ranked:
        path = trial.run.checkpoints.get("best")
        if path is None:
            continue
        try:
            tensors, facts = read_checkpoint(within(folder, path))
        except CheckpointError as error:
            ledger.record(Notice(text=f"trial {trial.run.number} was the best one, but cannot win: {error}"))
            continue
        yield trial, tensors, facts


def _others(
    ledger: Ledger, folder: Path, members: Iterable[FinishedTrial], on_test_rows: OnTestRows | None
) -> Iterator[ParetoEntry]:
    """The other members of the Pareto set."""
    for trial, tensors, facts in _sound(ledger, folder, members):
        config = trial_config(ledger.state, trial.run.params, trial.run.seed)
        test = {} if on_test_rows is None else on_test_rows(config, tensors)
        yield _pareto_entry(trial, facts["epoch"], _with_test(facts["metrics"], test))


def _pareto_entry(trial: FinishedTrial, epoch: int, metrics: dict[str, float]) -> ParetoEntry:
    return ParetoEntry(
        trial=trial.run.number,
        epoch=epoch,
        metrics=metrics,
        params=trial.run.params,
        checkpoint=trial.run.checkpoints["best"],
    )


def _keep(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], content: BestFile) -> None:
    write_checkpoint(folder / BEST_FOLDER, tensors, facts)
    write_best(folder / BEST_FILE, content)


def _content(state: SearchState, entry: BestEntry) -> BestFile:
    header = state.header
    assert header is not None, "a search that has a winner has begun"
    return BestFile(
        run=header.run,
        trainer=header.trainer,
        dataset=header.dataset,
        objective=tuple(ObjectiveEntry(metric=one.metric, mode=one.mode) for one in state.aims.objectives),
        constraints=tuple(map(write_constraint, state.aims.bounds)),
        best=entry,
        trials=counts(state),
    )


def _entry(
    state: SearchState, trial: FinishedTrial, config: TrialConfig, epoch: int, metrics: dict[str, float]
) -> BestEntry:
    assert trial.end.value is not None, "the best trial has a value"
    return BestEntry(
        trial=trial.run.number,
        # The checkpoint's: where a search was broken off, its records may be some epochs ahead of it, or behind.
        value=metrics.get(state.objective.metric, trial.end.value),
        epoch=epoch,
        metrics=metrics,
        config=config,
        checkpoint=BEST_FOLDER,
    )
