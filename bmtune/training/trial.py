"""The one loop: a trial as a sequence of epochs through its phases.

classification: `pre`.
generative: `gen`, after `pre` where `pretrain` is set.
adversarial: `adv`, after `pre` where `pretrain` is set.
gan: `pre`, then `critic`, in which the critic alone is trained, then `gan`; a `gan` epoch that costs the classifier
more than `tolerance` is followed by a visit to `re` before it counts as finished.
"""

from collections.abc import Mapping
from time import perf_counter

from bmtune.born import Cores
from bmtune.born import start_cores
from bmtune.config.metrics import PICTURE
from bmtune.config.metrics import due
from bmtune.evaluation.pictures import picture
from bmtune.training.engine import Engine
from bmtune.training.engine import SoloEngine
from bmtune.training.epoch import batches
from bmtune.training.epoch import train_epoch
from bmtune.training.problem import Problem
from bmtune.training.recipes import PHASES
from bmtune.training.recipes.base import cores_of
from bmtune.training.seeds import derive
from bmtune.training.settle import Trained
from bmtune.training.settle import entered
from bmtune.training.settle import finite_cores
from bmtune.training.settle import first_phase
from bmtune.training.settle import measured
from bmtune.training.settle import settle
from bmtune.training.state import EpochReport
from bmtune.training.state import TrialState

SOLO = SoloEngine()


def start(problem: Problem, goal: Mapping[str, float] | None = None) -> TrialState:
    """The state before the first epoch.

    Args:
        problem: What is trained.
        goal: Metrics of the main phase at which the trial may end early.
    """
    config = problem.config
    cores = start_cores(problem.chain, config.born, derive(config.start_seed, "cores"))
    cores = Cores(*(tensor.to(problem.device) for tensor in cores))
    return start_at(problem, first_phase(problem), cores, goal=goal)


def start_at(
    problem: Problem,
    phase: str,
    cores: Cores,
    *,
    goal: Mapping[str, float] | None = None,
    reached_before: Mapping[str, float] | None = None,
) -> TrialState:
    """The state before the first epoch of a phase that begins with given cores.

    Args:
        problem: What is trained.
        phase: The phase to begin with; before `gan` comes what prepares its critic.
        cores: The cores to begin with.
        goal: Metrics of the main phase at which the trial may end early.
        reached_before: What earlier training achieved, for retraining to reach again.
    """
    state = TrialState(phase, (), target=dict(goal or {}), goal=dict(reached_before or {}))
    return entered(problem, state, phase, cores)


def advance(problem: Problem, state: TrialState, engine: Engine = SOLO) -> tuple[TrialState, EpochReport]:
    """Trains one epoch of the current phase, measures it, and moves on to another phase where that is due."""
    assert not state.status.ended, "an ended trial trains no further epoch"
    began = perf_counter()
    given = batches(problem, state.phase, next_epoch(state))
    players, means = train_epoch(engine, problem, state.phase, state.players, given)
    losses = {name: float(mean) for name, mean in means.items()}
    cores, names = cores_of(players), due_metrics(problem, state)
    metrics = losses | measured(problem, state.phase, cores, names, losses)
    trained = Trained(players, metrics, pictures(problem, state.phase, cores, names))
    return settle(problem, state, trained, lambda: perf_counter() - began)


def next_epoch(state: TrialState) -> int:
    """The number of the next epoch of the current phase, counted over the whole trial."""
    return state.epochs.get(state.phase, 0) + 1


def due_metrics(problem: Problem, state: TrialState) -> tuple[str, ...]:
    """The metrics that are due after the next epoch."""
    return due(PHASES[state.phase].rules(problem).metrics, state.visit_epoch + 1)


def pictures(problem: Problem, phase: str, cores: Cores, names: tuple[str, ...]) -> dict[str, bytes]:
    """The picture of some cores in a phase as a PNG file, where it is among the names."""
    if PICTURE not in names or not finite_cores(cores):
        return {}
    config, seed = problem.config.evaluation, derive(problem.config.seed_of(phase), "picture")
    return {PICTURE: picture(problem.chain, cores, problem.splits["valid"], config, seed=seed)}
