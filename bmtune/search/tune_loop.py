"""The trials of a search as one Ray Tune experiment."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import nullcontext
from functools import partial
from types import FrameType
from typing import Any

import ray.tune
from ray.tune import CheckpointConfig

from bmtune.search.adapters import NUMBER
from bmtune.search.adapters import HalvingScheduler
from bmtune.search.adapters import RecordSearcher
from bmtune.search.adapters import SearchStopper
from bmtune.search.conduct import take_report
from bmtune.search.fleet import Fleet
from bmtune.search.going_on import set_aside_unrecorded
from bmtune.search.lanes import lanes
from bmtune.search.ledger import Ledger
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.state import RunningTrial
from bmtune.search.trainable import BornTrial
from bmtune.search.trial_run import Task
from bmtune.search.trial_run import TrialReport
from bmtune.search.winner import trial_config


def run_trials(
    resolved: ResolvedSearch, ledger: Ledger, concurrent: int, trainable: type[BornTrial], fleet: Fleet | None = None
) -> SearchStopper:
    """Runs trials until all have ended or the stopper says so; its `reason` tells which.

    Args:
        resolved: The search.
        ledger: Where everything that happens is recorded.
        concurrent: Trials at once.
        trainable: What trains them.
        fleet: The hosts whose lanes the trials take; None: each has a process of its own.
    """
    stopper = SearchStopper(ledger)
    if ledger.state.is_over:
        # All that was left of a run that goes on is its end.
        if fleet is not None:
            fleet.close()
        return stopper
    placed = nullcontext() if fleet is None else lanes(fleet, partial(_take_late, ledger))
    # Tune pickles its own bookkeeping: it goes to a folder that nobody reads and that is removed.
    with placed, _interruptible(stopper), tempfile.TemporaryDirectory(prefix="bmtune-tune-") as storage:
        ray.tune.run(
            trainable,
            name="search",
            storage_path=storage,
            search_alg=RecordSearcher(ledger, partial(_hand_out, resolved, ledger), concurrent),
            scheduler=HalvingScheduler(ledger, concurrent),
            stop=stopper,
            # One more than there are: Tune throws idle processes away once it has its last trial, and paused trials
            # that are promoted need them. The searcher says when there are no more.
            num_samples=resolved.space.budget.trials + 1,
            max_concurrent_trials=concurrent,
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
        device="cuda" if run.gpus_per_trial else "cpu",
        pre_cache=None if resolved.pre_cache is None else str(resolved.pre_cache.resolve()),
    )
    return {
        NUMBER: trial.number,
        "task": task.model_dump_json(),
        "cpus_per_trial": run.cpus_per_trial,
        "gpus_per_trial": run.gpus_per_trial,
    }


@contextmanager
def _interruptible(stopper: SearchStopper) -> Iterator[None]:
    """Ctrl-C once ends the search in good order; twice, at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        stopper.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
