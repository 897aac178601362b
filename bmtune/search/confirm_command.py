"""The whole of `bmtune confirm`, and what `bmtune search` does after its trials. Light to import."""

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bmtune.confirmation.progress import Follower
from bmtune.errors import BmtuneError
from bmtune.errors import StoppedBySignalError
from bmtune.search.cluster import Cluster
from bmtune.search.lock import check_unlocked
from bmtune.search.outcome import SearchOutcome

if TYPE_CHECKING:
    from bmtune.search.confirm import Confirmed
    from bmtune.search.confirm_choice import Wish
    from bmtune.search.confirm_run import EndedRun
    from bmtune.search.driver import Backend

AUTO = "auto"


def confirm_run(
    folder: Path, wish: "Wish", follower: Follower, *, address: str | None = None, gpus_per_trial: float | None = None
) -> "Confirmed":
    """Confirms the best trials of a run; Ray starts while the data are read.

    Args:
        folder: The run.
        wish: How many configurations and seeds.
        follower: Hears how far it is.
        address: Ray cluster to join; None: one of its own on this machine.
        gpus_per_trial: GPUs of one training; None: as the search had.

    Raises:
        BmtuneError: Something cannot be confirmed; nothing is written then.
    """
    # Not at the top: Optuna and torch take seconds, and Ray must not be imported before its cluster is made private.
    from bmtune.search.confirm_run import check_rows
    from bmtune.search.confirm_run import read_run
    from bmtune.search.goal import check_confirmable

    check_unlocked(folder)
    run = read_run(folder)
    check_confirmable(run.space)
    if gpus_per_trial is not None:
        settings = run.space.run.model_copy(update={"gpus_per_trial": gpus_per_trial})
        run = replace(run, space=replace(run.space, run=settings))
    with Cluster(address) as cluster:
        check_rows(run)
        from bmtune.search.confirm import confirm
        from bmtune.search.driver import SOLO

        cluster.wait()
        return confirm(run, wish, follower, SOLO)


def confirm_after(outcome: SearchOutcome, setting: str, follower: Follower, backend: "Backend") -> SearchOutcome:
    """Confirms what a search found as the search wishes, on the Ray that it ran on; what fails is said in a notice.

    Args:
        outcome: Of the search, whose records are complete.
        setting: `K:S`, `auto` or `none`.
        follower: Hears how far it is.
        backend: What trains and measures.
    """
    from bmtune.search.confirm import confirm
    from bmtune.search.confirm_choice import parse_wish
    from bmtune.search.confirm_run import read_run

    if outcome.best is None or outcome.interrupted:
        return outcome
    if len(outcome.best.objective) > 1 or outcome.best.constraints:
        # `--confirm K:S` was refused before the search.
        return outcome
    again = f"bmtune confirm {outcome.run_folder}"
    try:
        run = read_run(outcome.run_folder)
        wish = _afforded(run) if setting == AUTO else parse_wish(setting)
        if wish is None:
            why = f"nothing was confirmed, since it would take too long beside this search; {again} does it"
            return _noted(outcome, why) if setting == AUTO else outcome
        found = confirm(run, wish, follower, backend)
    except BmtuneError as error:
        return _noted(outcome, f"what was found could not be confirmed: {error}")
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, StoppedBySignalError) else signal.SIGINT
        broken_off = replace(outcome, interrupted=True, signal=number)
        return _noted(broken_off, f"the confirmation was interrupted; {again} goes on with it")
    return _noted(replace(outcome, best=found.best), found.notice)


def _noted(outcome: SearchOutcome, text: str | None) -> SearchOutcome:
    notices = [notice for notice in (outcome.notice, text) if notice is not None]
    return replace(outcome, notice="\n".join(notices) or None)


def _afforded(run: "EndedRun") -> "Wish | None":
    """What a search confirms where nobody said: as much as takes a part of its own time, and ends within its limit."""
    from bmtune.search.confirm_choice import AFFORDABLE
    from bmtune.search.confirm_choice import WORTH
    from bmtune.search.confirm_choice import affordable
    from bmtune.search.confirm_choice import choose
    from bmtune.search.confirm_choice import expected_seconds
    from bmtune.search.confirm_choice import seconds_of_search
    from bmtune.search.machines import room_for_hosts

    settings = run.space.run
    spent, since = seconds_of_search(run.records, time.time())
    allowed = WORTH * spent
    if settings.time_budget_s is not None:
        allowed = min(allowed, settings.time_budget_s - since)
    choices = [
        (wish, expected_seconds(run.epochs, choose(run.state, wish.top), run.header.max_epochs)) for wish in AFFORDABLE
    ]
    _, hosts = room_for_hosts(settings)
    return affordable(choices, hosts, allowed)
