"""The whole of `bmtune search`: check, connect, run. Light to import: what is heavy is loaded once it is needed."""

from bmtune.records import RunListener
from bmtune.search.cluster import FOR_HOSTS
from bmtune.search.cluster import FOR_TRIALS
from bmtune.search.cluster import Cluster
from bmtune.search.outcome import SearchOutcome
from bmtune.search.request import SearchRequest
from bmtune.search.resolve import check_data
from bmtune.search.resolve import resolve_options


def search(request: SearchRequest, listener: RunListener) -> SearchOutcome:
    """Checks a request and runs it; Ray starts while the data are read.

    Raises:
        BmtuneError: The request breaks a rule (nothing is written then), or the search stopped itself.
    """
    resolved = resolve_options(request)
    modules = FOR_TRIALS if resolved.space.run.pack == 1 else FOR_HOSTS
    with Cluster(resolved.address, modules=modules) as cluster:
        resolved = check_data(resolved)
        # Imported here: Optuna and Ray take seconds, in which Ray's own processes start.
        from bmtune.search.driver import run_search

        return run_search(resolved, listener, cluster)
