"""The whole of `bmtune search`: check, connect, run. Light to import: what is heavy is loaded once it is needed."""

from bmtune.confirmation.progress import Follower
from bmtune.confirmation.progress import Silent
from bmtune.records import LaneWatcher
from bmtune.records import RunListener
from bmtune.search.cluster import FOR_HOSTS
from bmtune.search.cluster import FOR_TRIALS
from bmtune.search.cluster import Cluster
from bmtune.search.interruption import Interruption
from bmtune.search.outcome import SearchOutcome
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options


def search(
    request: SearchRequest,
    listener: RunListener,
    follower: Follower | None = None,
    watcher: LaneWatcher | None = None,
) -> SearchOutcome:
    """Checks a request and runs it, and confirms what it found; Ray starts while the data are read.

    Args:
        request: What is searched.
        listener: Hears of every record.
        follower: Hears how far the confirmation is.
        watcher: Hears how full the processes are that train.

    Ctrl-C, SIGTERM and SIGHUP are heard while this runs in the main thread; see `Interruption`.

    Raises:
        BmtuneError: The request breaks a rule (nothing is written then), or the search stopped itself.
        StoppedBySignalError: A signal came before the trials began, or after they had ended.
    """
    resolved = resolve_options(request)
    modules = FOR_TRIALS if resolved.space.run.pack == 1 else FOR_HOSTS
    with (
        Interruption() as interruption,
        Cluster(
            resolved.address,
            modules=modules,
            allow_open=resolved.allow_open_cluster,
            interruption=interruption,
        ) as cluster,
    ):
        resolved = check_data(resolved)
        # Imported here: Optuna and Ray take seconds, in which Ray's own processes start.
        from bmtune.search.confirm_command import confirm_after
        from bmtune.search.driver import SOLO
        from bmtune.search.driver import run_search

        def afterwards(outcome: SearchOutcome) -> SearchOutcome:
            return confirm_after(outcome, resolved.space.run.confirm, follower or Silent(), SOLO)

        return run_search(
            resolved, listener, cluster, interruption=interruption, afterwards=afterwards, watcher=watcher
        )
