"""The Optuna study from which a search with several objectives, or with constraints, makes its next proposal.

Optuna's TPE splits the trials of such a study into good and bad ones by fronts and hypervolume (MOTPE), and where
constraints are broken by how far they are. It has no pruned trials there. But most trials of a search with halving
end, or wait, at a rung, and what they had there must not be compared with what others have at their ends. So a trial
that did not go through to its end is shown as one that breaks a constraint: the less, the higher its rung, and at one
rung by the order in which halving has the trials. Those that break a constraint of the user come last.

References:
    Ozaki et al. 2022, "Multiobjective Tree-Structured Parzen Estimator", JAIR 73.
"""

from collections import defaultdict
from dataclasses import dataclass

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from bmtune.config.space_model import Params
from bmtune.records import Point
from bmtune.records import places_among
from bmtune.search.proposals import distributions
from bmtune.search.proposals import to_label
from bmtune.search.state import SearchState

HELD = "held"
"""The constraint that says how early a trial was held, or how far it breaks those of the user."""


@dataclass(frozen=True)
class _Shown:
    """A trial as it is shown.

    Attributes:
        params: Searched values.
        budget: Main-phase epochs at which it was measured last.
        point: What it had there; None: nothing.
        whole: Whether it went through to its end.
        runs: Whether it runs and has met no rung yet.
    """

    params: Params
    budget: int = 0
    point: Point | None = None
    whole: bool = False
    runs: bool = False


def several_study(state: SearchState) -> optuna.Study:
    """A new study of all trials that proposals learn from: those of other runs, then our own by number.

    Args:
        state: The search; its objectives are several, or it has constraints.
    """
    shown = [*_taken(state), *_own(state)]
    study = optuna.create_study(directions=["minimize"] * len(state.aims.objectives), sampler=RandomSampler())
    breaches = _breaches(shown)
    study.add_trials([_frozen(state, trial, breaches.get(index)) for index, trial in enumerate(shown)])
    return study


def _taken(state: SearchState) -> list[_Shown]:
    return [
        _Shown(taken.params, max(taken.values, default=0), state.aims.point(taken.metrics), taken.status == "completed")
        for taken in state.taken
    ]


def _own(state: SearchState) -> list[_Shown]:
    latest: dict[int, tuple[int, Point | None]] = {}
    for rung, arrivals in sorted(state.arrivals.items()):
        latest |= {arrival.trial: (rung, arrival.point) for arrival in arrivals}
    found: dict[int, _Shown] = {}
    for number, trial in state.running.items():
        budget, point = latest.get(number, (0, None))
        found[number] = _Shown(trial.params, budget, point, runs=number not in latest)
    for number, ended in state.finished.items():
        if ended.end.status == "failed":
            continue
        budget, point = latest.get(number, (0, None))
        whole = ended.end.status == "completed" and ended.run.stopped_at is None
        if whole or number not in latest:
            budget, point = ended.run.budget, state.aims.point(ended.end.best_metrics)
        found[number] = _Shown(ended.run.params, budget, point, whole and point is not None)
    return [found[number] for number in sorted(found)]


def _breaches(shown: list[_Shown]) -> dict[int, float]:
    """By position, how much a trial is shown to break its constraint; those that are not in it break none."""
    rungs: defaultdict[int, list[tuple[int, Point]]] = defaultdict(list)
    order: list[tuple[tuple[float, float, float], int]] = []
    for index, trial in enumerate(shown):
        if trial.runs:
            continue
        if trial.point is None:
            order.append(((2, 0, 0), index))
        elif trial.point.violation:
            order.append(((1, trial.point.violation, 0), index))
        elif not trial.whole:
            rungs[trial.budget].append((index, trial.point))
    for budget, members in rungs.items():
        places = places_among([point for _, point in members])
        order += [((0, -budget, place), index) for (index, _), place in zip(members, places, strict=True)]
    return {index: float(position) for position, (_, index) in enumerate(sorted(order), start=1)}


def _frozen(state: SearchState, trial: _Shown, breach: float | None) -> FrozenTrial:
    params = {path: to_label(value) for path, value in trial.params.items()}
    known = distributions(state.space, trial.params)
    if trial.runs:
        return optuna.trial.create_trial(state=TrialState.RUNNING, params=params, distributions=known)
    # Nothing is read off the values of a trial that breaks a constraint.
    values = [0.0] * len(state.aims.objectives) if trial.point is None else list(trial.point.costs)
    return optuna.trial.create_trial(
        values=values, params=params, distributions=known, constraints=None if breach is None else {HELD: breach}
    )
