"""Runs a search from its first record to its last."""

import time
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import ExitStack
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
from torch import Tensor

from bmtune.config.constraints import broken
from bmtune.config.lanes import sharing_hint
from bmtune.config.root import TrialConfig
from bmtune.disk_space import Patience
from bmtune.errors import SearchStoppedError
from bmtune.records import LaneWatcher
from bmtune.records import Notice
from bmtune.records import RunFinished
from bmtune.records import RunListener
from bmtune.search.adapters import SearchStopper
from bmtune.search.carrying import SharedFolder
from bmtune.search.cluster import Cluster
from bmtune.search.conduct import end_remaining
from bmtune.search.fleet import Fleet
from bmtune.search.going_on import complete_last_event
from bmtune.search.interruption import ORDERLY_S
from bmtune.search.interruption import WINNER_S
from bmtune.search.interruption import Interruption
from bmtune.search.lanes import seam_holds
from bmtune.search.ledger import Ledger
from bmtune.search.machines import ClusterMachines
from bmtune.search.old_run import RECORDS_FILE
from bmtune.search.outcome import Afterwards
from bmtune.search.outcome import SearchOutcome
from bmtune.search.outcome import how_to_resume
from bmtune.search.outcome import unchanged
from bmtune.search.outlook import Outlook
from bmtune.search.resolve import ResolvedSearch
from bmtune.search.run_copy import copied
from bmtune.search.run_copy import place_of
from bmtune.search.run_folder import OpenRun
from bmtune.search.run_folder import open_run
from bmtune.search.solo import on_test_rows
from bmtune.search.state import SearchState
from bmtune.search.trainable import BornTrial
from bmtune.search.tune_loop import run_trials
from bmtune.search.view import STUDY_FILE
from bmtune.search.view import StudyView
from bmtune.search.winner import OnTestRows
from bmtune.search.winner import counts
from bmtune.search.winner import keep_winner
from bmtune.tracking import WandbProcess


@dataclass(frozen=True)
class Backend:
    """What trains and measures.

    Attributes:
        trainable: The class that Tune runs for each trial.
        on_test_rows: Measures the winner.
    """

    trainable: type[BornTrial] = BornTrial
    on_test_rows: OnTestRows = on_test_rows


SOLO = Backend()


def run_search(
    resolved: ResolvedSearch,
    listener: RunListener,
    cluster: Cluster | None = None,
    backend: Backend = SOLO,
    *,
    interruption: Interruption | None = None,
    afterwards: Afterwards = unchanged,
    watcher: LaneWatcher | None = None,
) -> SearchOutcome:
    """Runs a search.

    Args:
        resolved: The search, with its data checked.
        listener: Hears of every record.
        cluster: A connection that has begun; None begins one.
        backend: What trains and measures.
        interruption: Hears the signals that end a search; None: they are heard from here on.
        afterwards: What happens to the outcome when all records are written, on the same Ray.
        watcher: Hears how full the hosts are.

    Raises:
        ResourceError: One trial fits on no machine.
        RunFolderError: Another process writes the run, or there is one where its copy is to be.
        StorageError: Where its copy is to be cannot be reached.
        FormatError: The run that is to go on has damaged records.
        SearchStoppedError: The first trials all failed alike, or no trial could be measured.
        StoppedBySignalError: A signal came before the trials began, or after they had ended.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with ExitStack() as stack:
        heard = interruption or stack.enter_context(Interruption())
        joined = cluster or Cluster(resolved.address, allow_open=resolved.allow_open_cluster, interruption=heard)
        connected = stack.enter_context(joined)
        patience = Patience(partial(_tell, listener), heard.rest)
        place = place_of(resolved)
        # Old records are read while Ray starts; a new run leaves nothing behind where there is no room for it.
        run = stack.enter_context(open_run(resolved, patience)) if resolved.resumes else None
        connected.wait()
        shared = SharedFolder(resolved.run_folder, patience) if resolved.address is not None else None
        placement = _placement(resolved, backend.trainable, connected.warning, shared)
        run = run or stack.enter_context(open_run(resolved, patience))
        with_copy = stack.enter_context(copied(resolved, place, patience.tell, heard))
        if watcher is not None and placement.fleet is not None:
            watcher.on_lanes(placement.fleet.occupied)
        outcome, stopper = _recorded(_Opened(placement.resolved, run, patience, heard), listener, placement, backend)
        run.writer.close()
        outcome = replace(with_copy(afterwards(outcome)), signal=heard.signal)
    _check_found(outcome, stopper, run.state, resolved.run_folder / RECORDS_FILE)
    return outcome


def _check_found(outcome: SearchOutcome, stopper: SearchStopper, state: SearchState, records: Path) -> None:
    """Says why a search that ended by itself has no winner.

    Raises:
        SearchStoppedError: It has none.
    """
    if stopper.failure is not None:
        raise SearchStoppedError(
            f"a search must have trials that can be trained, but {stopper.reason}; the tracebacks are in {records}"
        )
    if outcome.best is None and not outcome.interrupted:
        if (nearest := state.nearest()) is not None and state.aims.bounds:
            raise SearchStoppedError(
                "a search must end with a trial that satisfies its constraints, but "
                f"{broken(state.aims.bounds, nearest.run.number, nearest.end.best_metrics)}; "
                "loosen --constraint in a new search, or go on with more --trials by --resume"
            )
        raise SearchStoppedError(
            f"a search must end with a trial that could be measured, but of {outcome.counts.total} none was "
            f"({outcome.counts.failed} failed; {stopper.reason or 'all trials ended'}); "
            f"see {records}"
        )


def _tell(listener: RunListener, text: str) -> None:
    listener.on_record(Notice(text=text))


@dataclass(frozen=True)
class _Placement:
    """Where trials are trained.

    Attributes:
        resolved: The search, with its resources settled.
        outlook: What there is room for, now and later.
        fleet: The hosts whose lanes they take; None: each has a process of its own.
        notices: Sentences about that for the user.
    """

    resolved: ResolvedSearch
    outlook: Outlook
    fleet: Fleet | None
    notices: tuple[str, ...]


def _placement(
    resolved: ResolvedSearch, trainable: type[BornTrial], warning: str | None, shared: SharedFolder | None
) -> _Placement:
    """Starts the hosts that the search needs, as soon as it is known that there is, or may be, room."""
    run = resolved.space.run
    reason = None if run.pack == 1 else seam_holds()
    processes = run.pack == 1 or reason is not None
    look = ClusterMachines(may_grow=resolved.address is not None)
    asked = run.model_copy(update={"pack": 1}) if processes else run
    outlook = Outlook(asked, resolved.space.budget.trials, look)
    gpus = {"gpus_per_trial": outlook.run.gpus_per_trial}
    settled = replace(resolved, space=replace(resolved.space, run=run.model_copy(update=gpus)))
    alone = f"each trial has a process of its own, as with --pack 1, because {reason}" if reason else None
    notices = tuple(filter(None, (warning, alone, outlook.seen.waiting)))
    if processes:
        return _Placement(settled, outlook, None, notices)
    again = outlook.look_again if resolved.address is not None else None
    fleet = Fleet(outlook.seen.plan, trainable.make_training, trainable.packing, again, shared)
    fleet.ask_for(outlook.seen.plan.concurrent)
    return _Placement(settled, outlook, fleet, notices)


@dataclass(frozen=True)
class _Opened:
    """A run that is open, with what it needs until it is closed."""

    resolved: ResolvedSearch
    run: OpenRun
    patience: Patience
    interruption: Interruption


def _recorded(
    opened: _Opened, listener: RunListener, placement: _Placement, backend: Backend
) -> tuple[SearchOutcome, SearchStopper]:
    """The search from the record that it begins with to its last."""
    resolved, run, patience, interruption = opened.resolved, opened.run, opened.patience, opened.interruption
    folder, state = resolved.run_folder, run.state
    if run.past:
        listener.catch_up(run.past)
    # A view is opened when the run has begun.
    before = Ledger(state, run.writer, [listener])
    for record in run.first:
        before.record(record)
    with ExitStack() as stack:
        mode = resolved.space.run.wandb
        follower = stack.enter_context(WandbProcess(folder, mode)) if mode else None
        interruption.advice = how_to_resume(resolved.space.trainer, folder, resolved.copy_at)
        with _viewed(StudyView(folder / STUDY_FILE, state, patience), interruption) as view:
            ledger = Ledger(state, run.writer, [view, listener])
            hint = sharing_hint(resolved.space.base, resolved.space.parameters) if placement.fleet else None
            for told in filter(None, (*placement.notices, None if run.past else hint)):
                ledger.record(Notice(text=told))
            complete_last_event(ledger, folder)
            measure = partial(_in_time, backend.on_test_rows, interruption)
            end = partial(keep_winner, ledger, folder, measure, patience)
            interruption.rescue = partial(end, unfinished=True)
            concurrent = placement.outlook.concurrent
            stopper = run_trials(
                resolved, ledger, concurrent, backend.trainable, placement.fleet, interruption=interruption
            )
            if not stopper.interrupted:
                end_remaining(ledger, stopper.reason)
            best = end(unfinished=stopper.interrupted)
            if not stopper.interrupted:
                ledger.record(_end(stopper, best.best.trial if best else None, best.best.metrics if best else {}))
                interruption.advice = None
        said = follower.finish(interruption.left(ORDERLY_S)) if follower else None
    notice = "\n".join(filter(None, (view.problem, said))) or None
    outcome = SearchOutcome(
        folder, best, counts(state), stopper.interrupted, notice, interruption.signal, interruption.advice
    )
    return outcome, stopper


@contextmanager
def _viewed(view: StudyView, interruption: Interruption) -> Iterator[StudyView]:
    """The view, which is whole afterwards, unless the search was interrupted and that would take too long."""
    try:
        yield view
    finally:
        view.close(interruption.left(WINNER_S))


def _in_time(
    measure: OnTestRows, interruption: Interruption, config: TrialConfig, tensors: Mapping[str, Tensor]
) -> dict[str, float]:
    """What `measure` finds; nothing where the search was interrupted and that would take too long."""
    return interruption.within(WINNER_S, partial(measure, config, tensors)) or {}


def _end(stopper: SearchStopper, best: int | None, metrics: dict[str, float]) -> RunFinished:
    test = {name.removeprefix("test/"): value for name, value in metrics.items() if name.startswith("test/")}
    return RunFinished(reason=stopper.reason or "all trials ended", best=best, test_metrics=test, time=time.time())
