"""Proposals before they are wanted: which state of the search each is made from, as a function of the records alone.

TPE takes longer with every trial, 10 ms at a hundred and 30 at a thousand, and a free slot would wait for it. So from
trial `FROM` on the proposal of a trial is made when the one `LAG` before it has started, in a process of its own: it
misses what was reported between the two, and knows of the trials between them, which count as running. Whoever reads
the records of a run anew, as a resumed search does, makes the same proposals.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

from bmtune.config.space_model import Params
from bmtune.config.space_model import SearchSpace
from bmtune.records import Record
from bmtune.records import TrialStarted
from bmtune.search.next_trial import tried_first
from bmtune.search.proposals import propose
from bmtune.search.state import SearchState


class Rule(NamedTuple):
    """Which proposals are made ahead.

    Attributes:
        first: The last trial whose proposal is made when it is wanted.
        lag: So many trials later is the one that is proposed when a trial starts.
    """

    first: int = 100
    lag: int = 8


RULE = Rule()


def can_look_ahead(space: SearchSpace) -> bool:
    """Whether proposals of a search may be made ahead: those of TPE for one objective without constraints.

    With several, the study is made anew of the whole state for each proposal, in which no trial to come is open.
    """
    return space.run.sampler == "tpe" and space.aims.is_plain


class Proposal(NamedTuple):
    """A trial to come, and its parameters."""

    trial: int
    params: Params


class Foresight:
    """A second state of a search, in whose study the trials to come are open already."""

    def __init__(self, space: SearchSpace, rule: Rule = RULE) -> None:
        """A state before the first record."""
        self._space = space
        self._rule = rule
        self._state = SearchState(space)
        self._opened = rule.first

    def take(self, records: Iterable[Record]) -> Iterator[Proposal]:
        """Takes in the records that follow; the proposals that they lead to and do not hold themselves."""
        batch = list(records)
        known = {record.trial: record.params for record in batch if isinstance(record, TrialStarted)}
        for record in batch:
            self._state.apply(record)
            if isinstance(record, TrialStarted) and record.trial >= self._rule.first:
                yield from self._look_ahead(record.trial + self._rule.lag, known)

    def _look_ahead(self, last: int, known: dict[int, Params]) -> Iterator[Proposal]:
        while self._opened < min(last, self._space.budget.trials - 1):
            self._opened += 1
            number = self._opened
            given = known[number] if number in known else tried_first(self._state, number)
            if given is not None:
                self._state.open(number, given)
            else:
                given = propose(self._state.study, self._space, self._space.run.seed, number)
            if number not in known:
                yield Proposal(number, given)
