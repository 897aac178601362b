"""The searched values of a search's next trial: the base ones, then those to try first, then proposals."""

from bmtune.config.space_model import Params
from bmtune.search.proposals import propose
from bmtune.search.several_study import several_study
from bmtune.search.state import SearchState


def next_params(state: SearchState) -> Params:
    """What the next trial is to be: a function of the state alone, so that a replayed search goes on alike."""
    number = state.num_started
    first = tried_first(state, number)
    if first is not None:
        return first
    study = state.study if state.aims.is_plain else several_study(state)
    return propose(study, state.space, state.space.run.seed, number)


def tried_first(state: SearchState, number: int) -> Params | None:
    """The configuration that was given for a trial; None where one is to be proposed."""
    return state.enqueued[number - 1] if 1 <= number <= len(state.enqueued) else None
