"""The trials of a search as one Ray Tune experiment."""

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune import CheckpointConfig

from bmtune.search.adapters import NUMBER
from bmtune.search.adapters import Concurrent
from bmtune.search.adapters import HalvingScheduler
from bmtune.search.adapters import RecordSearcher
from bmtune.search.adapters import SearchStopper
from bmtune.search.ahead import AT_ONCE
from bmtune.search.ahead import Ahead
from bmtune.search.ahead import Asks
from bmtune.search.conduct import take_report
from bmtune.search.fleet import Fleet
from bmtune.search.foresight import can_look_ahead
from bmtune.search.going_on import set_aside_unrecorded
from bmtune.search.interruption import Interruption
from bmtune.search.lanes import lanes
from bmtune.search.ledger import Ledger
from bmtune.search.plan import gpus_of
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.room import need_of_trial
from bmtune.search.trainable import BornTrial
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.trials import RunningTrial
from bmtune.search.winner import trial_config


def run_trials(
    resolved: ResolvedSearch,
    ledger: Ledger,
    concurrent: Concurrent,
    trainable: type[BornTrial],
    fleet: Fleet | None = None,
    *,
    interruption: Interruption | None = None,
) -> SearchStopper:
    """Runs trials until all have ended or the stopper says so; its `reason` tells which.

    Args:
        resolved: The search.
        ledger: Where everything that happens is recorded.
        concurrent: Tells how many trials may be trained at once.
        trainable: What trains them.
        fleet: The hosts whose lanes the trials take; None: each has a process of its own.
        interruption: Hears the signals that end them early; None: nothing does.
    """
    interruption = interruption or Interruption()
    stopper = SearchStopper(ledger)
    stopper.listen_to(interruption)
    if ledger.state.is_over:
        # All that was left of a run that goes on is its end.
        if fleet is not None:
            fleet.close()
        return stopper
    placed = nullcontext() if fleet is None else lanes(fleet, partial(_take_late, ledger), ledger.tell)
    # Tune pickles its own bookkeeping: it goes to a folder that nobody reads and that is removed.
    scratch = tempfile.TemporaryDirectory(prefix="bmtune-tune-")
    with placed, _asking(resolved, ledger) as asks, scratch as storage, interruption.deferred():
        interruption.remove_at_end(Path(storage))
        searcher = RecordSearcher(ledger, partial(_hand_out, resolved, ledger), concurrent, asks)
        ray.tune.run(
            trainable,
            name="search",
            storage_path=storage,
            search_alg=searcher,
            scheduler=HalvingScheduler(ledger, concurrent, searcher.hand_out_again),
            stop=stopper,
            num_samples=_most_samples(resolved),
            # The searcher counts by itself; this is how many Tune may take from it before they have started.
            max_concurrent_trials=resolved.space.budget.trials,
            reuse_actors=fleet is None,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
            trial_dirname_creator=_directory_name,
            trial_name_creator=_directory_name,
            raise_on_failed_trial=False,
            max_failures=resolved.space.run.max_failures,
            verbose=0,
        )
    ledger.sync()
    return stopper


def _asking(resolved: ResolvedSearch, ledger: Ledger) -> AbstractContextManager[Asks]:
    """Where proposals come from."""
    return Ahead(resolved.run_folder, ledger.tell) if can_look_ahead(resolved.space) else nullcontext(AT_ONCE)


def _most_samples(resolved: ResolvedSearch) -> int:
    """Trials as Tune counts them, more than there are.

    Tune throws idle processes away once it has its last trial, and trials that are promoted, or given up by it, need
    them. The searcher says when there are no more.
    """
    return resolved.space.budget.trials * (resolved.space.run.max_failures + 1) + 1


def _take_late(ledger: Ledger, config: Mapping[str, Any], report: str) -> None:
    """Records what a trial told when it was broken off."""
    if config[NUMBER] in ledger.state.running:
        take_report(ledger, config[NUMBER], TrialReport.model_validate_json(report))


def _directory_name(trial: Any) -> str:
    return f"trial-{trial.config[NUMBER]:05d}"


def _hand_out(resolved: ResolvedSearch, ledger: Ledger, trial: RunningTrial) -> dict[str, Any]:
    set_aside_unrecorded(ledger, resolved.run_folder, trial)
    return to_config(resolved, ledger, trial)


def to_config(resolved: ResolvedSearch, ledger: Ledger, trial: RunningTrial) -> dict[str, Any]:
    """The Tune configuration of a trial; its task is one text, which Tune copies without looking inside."""
    run = resolved.space.run
    task = Task(
        trial=trial.number,
        config=trial_config(ledger.state, trial.params, trial.seed),
        run_folder=str(resolved.run_folder.resolve()),
        rungs=tuple(ledger.state.arrivals) if run.scheduler == "asha" else (),
        report_every_s=run.report_every_s,
        checkpoint_every=run.checkpoint_every,
        threads=run.cpus_per_trial,
        device="cuda" if gpus_of(run) else "cpu",
        pre_cache=None if resolved.pre_cache is None else str(resolved.pre_cache.resolve()),
    )
    return {
        NUMBER: trial.number,
        "task": task.model_dump_json(),
        "occupies": need_of_trial(run),
    }
