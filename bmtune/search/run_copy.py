"""The copy of a run elsewhere, from before the run begins until all is said."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from bmtune.search.copy_here import check_new
from bmtune.search.copy_place import CopyPlace
from bmtune.search.copying import Copier
from bmtune.search.interruption import ORDERLY_S
from bmtune.search.interruption import Interruption
from bmtune.search.outcome import Afterwards
from bmtune.search.outcome import SearchOutcome
from bmtune.search.outcome import how_to_resume
from bmtune.search.outcome import unchanged
from bmtune.search.resolve import ResolvedSearch

RESERVE_S = 2.5
"""Seconds before the end of its patience at which an interrupted search copies no more: Ray takes as long to end."""


def place_of(resolved: ResolvedSearch) -> CopyPlace | None:
    """Where the copy of a run is to be; None: there is none.

    Raises:
        StorageError: It cannot be reached.
        RunFolderError: The run is a new one, and there is one already.
    """
    if resolved.copy_at is None:
        return None
    place = CopyPlace.open(resolved.copy_at, resolved.run_folder.name)
    if not resolved.resumes:
        check_new(place)
    return place


@contextmanager
def copied(
    resolved: ResolvedSearch, place: CopyPlace | None, tell: Callable[[str], None], interruption: Interruption
) -> Iterator[Afterwards]:
    """Copies a run while the context is open, and gives what adds to its outcome where the copy is.

    Args:
        resolved: The search, whose run is open.
        place: Where the copy is; None: there is none.
        tell: Takes a sentence for the user.
        interruption: Says how much time is left.
    """
    if place is None:
        yield unchanged
        return
    copier = Copier(resolved.run_folder, place, tell)
    copier.begin()
    finish = partial(copier.finish, lambda: interruption.left(ORDERLY_S - RESERVE_S))
    said = False

    def with_copy(outcome: SearchOutcome) -> SearchOutcome:
        nonlocal said
        # Whoever presses Ctrl-C here learns how the rest gets there.
        before, interruption.advice = interruption.advice, _how(resolved)
        said = True
        text = _told(resolved, place, finish())
        interruption.advice = before
        return replace(outcome, notice="\n".join(filter(None, (outcome.notice, text))))

    try:
        yield with_copy
    finally:
        if not said and (missing := finish()):
            tell(missing)


def bring_up(resolved: ResolvedSearch) -> tuple[str, bool]:
    """Copies a run that has ended; returns what to say, and whether the copy is whole.

    Raises:
        StorageError: The place cannot be reached.
    """
    place = place_of(resolved)
    assert place is not None, "there is a copy"
    copier = Copier(resolved.run_folder, place, lambda text: None)
    copier.begin()
    missing = copier.finish()
    return _told(resolved, place, missing), missing is None


def _told(resolved: ResolvedSearch, place: CopyPlace, missing: str | None) -> str:
    if missing is None:
        return f"a copy of the run is at {place.shown}"
    return f"{missing}; {_how(resolved)} copies the rest from {resolved.run_folder}"


def _how(resolved: ResolvedSearch) -> str:
    return how_to_resume(resolved.space.trainer, resolved.run_folder, resolved.copy_at)
