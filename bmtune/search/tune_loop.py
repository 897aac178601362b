"""The trials of a search as one Ray Tune experiment."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import ray.tune
from ray.tune import CheckpointConfig

from bmtune.records import TrialStarted
from bmtune.search.adapters import NUMBER
from bmtune.search.adapters import HalvingScheduler
from bmtune.search.adapters import LossCallback
from bmtune.search.adapters import RecordSearcher
from bmtune.search.adapters import SearchStopper
from bmtune.search.ledger import Ledger
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.trainable import BornTrial
from bmtune.search.trial_run import Task
from bmtune.search.winner import trial_config


def run_trials(
    resolved: ResolvedSearch, ledger: Ledger, concurrent: int, trainable: type[BornTrial] = BornTrial
) -> SearchStopper:
    """Runs trials until all have ended or the stopper says so; its `reason` tells which.

    Args:
        resolved: The search.
        ledger: Where everything that happens is recorded.
        concurrent: Trials at once.
        trainable: What trains them.
    """
    stopper = SearchStopper(ledger)
    # Tune pickles its own bookkeeping: it goes to a folder that nobody reads and that is removed.
    with _interruptible(stopper), tempfile.TemporaryDirectory(prefix="bmtune-tune-") as storage:
        ray.tune.run(
            trainable,
            name="search",
            storage_path=storage,
            search_alg=RecordSearcher(ledger, partial(to_config, resolved, ledger)),
            scheduler=HalvingScheduler(ledger),
            callbacks=[LossCallback(ledger)],
            stop=stopper,
            num_samples=resolved.space.budget.trials,
            max_concurrent_trials=concurrent,
            reuse_actors=True,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
            trial_dirname_creator=_directory_name,
            trial_name_creator=_directory_name,
            raise_on_failed_trial=False,
            max_failures=0,
            verbose=0,
        )
    return stopper


def _directory_name(trial: Any) -> str:
    return f"trial-{trial.config[NUMBER]:05d}"


def to_config(resolved: ResolvedSearch, ledger: Ledger, started: TrialStarted) -> dict[str, Any]:
    """The Tune configuration of a trial; its task is one text, which Tune copies without looking inside."""
    run = resolved.space.run
    task = Task(
        trial=started.trial,
        config=trial_config(ledger.state, started.params, started.seed),
        run_folder=str(resolved.run_folder.resolve()),
        rungs=tuple(ledger.state.rung_values) if run.scheduler == "asha" else (),
        report_every_s=run.report_every_s,
        threads=run.cpus_per_trial,
        device="cuda" if run.gpus_per_trial else "cpu",
        pre_cache=None if resolved.pre_cache is None else str(resolved.pre_cache.resolve()),
    )
    return {
        NUMBER: started.trial,
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
