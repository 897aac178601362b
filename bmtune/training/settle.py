"""What follows an epoch: the best one so far, the next phase, or the end. Nothing here trains."""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from math import isfinite

from bmtune.born import Cores
from bmtune.config.metrics import METRICS
from bmtune.config.metrics import due
from bmtune.config.metrics import without_picture
from bmtune.config.training import GANStyleConfig
from bmtune.evaluation import measure
from bmtune.training.engine import SoloEngine
from bmtune.training.player import Players
from bmtune.training.problem import Problem
from bmtune.training.recipes import PHASES
from bmtune.training.rows import compared_rows
from bmtune.training.seeds import derive
from bmtune.training.state import EpochReport
from bmtune.training.state import TrialState
from bmtune.training.status import Status
from bmtune.training.watch import Best
from bmtune.training.watch import better
from bmtune.training.watch import latest_unbeaten
from bmtune.training.watch import phase_status

MAIN_PHASE = {"classification": "pre", "gan": "gan", "generative": "gen", "adversarial": "adv"}
"""The phase that a recipe is about: its epochs are the trial's budget."""


@dataclass(frozen=True)
class Trained:
    """What an epoch left: the players, and what was measured of them.

    Attributes:
        players: The players after the epoch.
        metrics: Validation metrics by name, training losses as "train/...".
        pictures: PNG files by name.
    """

    players: Players
    metrics: dict[str, float]
    pictures: dict[str, bytes] = field(default_factory=dict)


def main_phase(problem: Problem) -> str:
    """The phase whose epochs are the trial's budget."""
    return MAIN_PHASE[problem.config.recipe]


def first_phase(problem: Problem) -> str:
    """The phase that a trial begins with."""
    return "pre" if problem.config.pretrains else main_phase(problem)


def entered(problem: Problem, state: TrialState, phase: str, cores: Cores) -> TrialState:
    """The state at the start of a phase; `gan` is prepared by `critic` where the critic is to be trained alone."""
    if phase == "gan" and problem.config.trainer.ganstyle.critic.pretrain_epochs:
        phase = "critic"
    players = PHASES[phase].start(SoloEngine(), problem, cores, derive(problem.config.seed_of(phase), phase))
    return replace(state, phase=phase, players=players, visit_epoch=0, best=None)


def measured(
    problem: Problem, phase: str, cores: Cores, names: tuple[str, ...], losses: Mapping[str, float]
) -> dict[str, float]:
    """The validation metrics in a phase; nothing where training already lost its numbers."""
    if not all(map(isfinite, losses.values())) or not finite_cores(cores):
        return {}
    # The same uniforms at every epoch: epochs are compared on equal draws.
    seed = derive(problem.config.seed_of(phase), "evaluate")
    valid, config = problem.splits["valid"], problem.config.evaluation
    real = compared_rows(problem, names)
    return measure(without_picture(names), problem.chain, cores, valid, config, seed=seed, real=real)


def finite_cores(cores: Cores) -> bool:
    """Whether all numbers of the cores are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in cores)


def settle(
    problem: Problem, state: TrialState, trained: Trained, spent: Callable[[], float]
) -> tuple[TrialState, EpochReport]:
    """The state after an epoch, and its report.

    Args:
        problem: What is trained.
        state: The state before the epoch.
        trained: What the epoch left.
        spent: Seconds since the epoch began.
    """
    phase, epoch, metrics = state.phase, state.epochs.get(state.phase, 0) + 1, trained.metrics
    state = replace(
        state, players=trained.players, visit_epoch=state.visit_epoch + 1, epochs={**state.epochs, phase: epoch}
    )
    eligible, extra = False, dict[str, float]()
    if not is_finite(state, metrics):
        state = replace(state, status=Status.DIVERGED)
    elif phase == "critic":
        state = _after_critic(problem, state)
    elif phase == "gan":
        state, eligible = _after_gan(problem, state, metrics)
    else:
        state, eligible, extra = _after_epoch(problem, state, metrics)
        if state.phase != phase and not is_finite(state, extra):
            state, eligible = replace(state, status=Status.DIVERGED), False
    seconds = spent()
    state = replace(state, seconds={**state.seconds, phase: state.seconds.get(phase, 0.0) + seconds})
    best = main_best(problem, state)
    report = EpochReport(
        phase,
        epoch,
        state.budget,
        metrics | extra,
        seconds,
        state.status,
        eligible,
        best.epoch if best else None,
        dict(best.metrics) if best else None,
        trained.pictures,
    )
    return state, report


def is_finite(state: TrialState, metrics: Mapping[str, float]) -> bool:
    """Whether the state's cores and the metrics have only finite numbers."""
    return all(map(isfinite, metrics.values())) and finite_cores(state.cores)


def _after_epoch(
    problem: Problem, state: TrialState, metrics: dict[str, float]
) -> tuple[TrialState, bool, dict[str, float]]:
    """What follows an epoch of `pre`, `re` or a likelihood: state, whether it is eligible, and further metrics."""
    rules, is_main = PHASES[state.phase].rules(problem), main_phase(problem) == state.phase
    candidate = Best(state.visit_epoch, metrics, state.cores)
    best = (
        _better_of_main(problem, state.best, candidate) if is_main else better(state.best, candidate, rules.stop_crit)
    )
    goal = state.target if is_main else state.goal
    status = phase_status(rules, state.visit_epoch, best, goal, metrics)
    state = replace(state, best=best, budget=state.visit_epoch if is_main else state.budget)
    if is_main or not status.ended:
        return replace(state, status=status if is_main else Status.RUNNING), is_main, {}
    # Retraining that reached its goal ends with the cores that reached it, whatever stop_crit says of them.
    keeps_best = best is not None and not (state.phase == "re" and status is Status.GOAL_REACHED)
    cores = best.cores if best is not None and keeps_best else state.cores
    if state.phase == "re":
        return _back_to_gan(problem, state, cores)
    return on_to_main(problem, state, cores)


def on_to_main(problem: Problem, state: TrialState, cores: Cores) -> tuple[TrialState, bool, dict[str, float]]:
    """From `pre` to the main phase, from the best cores; their metrics are what the main phase starts from.

    Returns:
        The state, that this epoch is not eligible, and those metrics as "start/...".
    """
    main = problem.config.main_trainer
    found = measured(problem, main_phase(problem), cores, tuple(dict(main.metrics)), {})
    # Cores that are not finite have no metrics, so that nothing is found here.
    watched = main.retrain_crit if isinstance(main, GANStyleConfig) else None
    goal: dict[str, float] = {name: value for name, value in found.items() if name == watched}
    state = entered(problem, replace(state, goal=goal), main_phase(problem), cores)
    return state, False, {f"start/{name}": value for name, value in found.items()}


def _after_critic(problem: Problem, state: TrialState) -> TrialState:
    """The next epoch of the critic alone, or the game, with the critic's optimizer as it is."""
    if state.visit_epoch < PHASES["critic"].rules(problem).max_epoch:
        return state
    return replace(state, phase="gan", visit_epoch=0)


def _after_gan(problem: Problem, state: TrialState, metrics: dict[str, float]) -> tuple[TrialState, bool]:
    """What follows an epoch of `gan`: retraining where the classifier suffered, or the next epoch."""
    if not _needs_retraining(problem, state.goal, metrics):
        return _finish_gan_epoch(problem, state, metrics, eligible=True), True
    state = replace(state, main_players=state.players, main_best=state.best)
    return entered(problem, state, "re", state.cores), False


def _back_to_gan(problem: Problem, state: TrialState, cores: Cores) -> tuple[TrialState, bool, dict[str, float]]:
    """From `re` back to `gan`: the interrupted epoch is finished with the retrained cores."""
    assert state.main_players is not None, "retraining interrupts a main phase"
    born, critic = state.main_players
    epoch = state.epochs["gan"]
    found = measured(problem, "gan", cores, due(problem.config.trainer.ganstyle.metrics, epoch), {})
    state = replace(
        state,
        phase="gan",
        players=(born._replace(params=tuple(cores)), critic),
        visit_epoch=epoch,
        best=state.main_best,
        main_players=None,
        main_best=None,
    )
    eligible = not _needs_retraining(problem, state.goal, found)
    return _finish_gan_epoch(problem, state, found, eligible=eligible), eligible, found


def _finish_gan_epoch(problem: Problem, state: TrialState, metrics: dict[str, float], *, eligible: bool) -> TrialState:
    rules = PHASES["gan"].rules(problem)
    best = state.best
    if eligible:
        best = _better_of_main(problem, best, Best(state.visit_epoch, metrics, state.cores))
    status = phase_status(rules, state.visit_epoch, best, state.target if eligible else {}, metrics)
    return replace(state, best=best, budget=state.visit_epoch, status=status)


def _better_of_main(problem: Problem, best: Best | None, candidate: Best) -> Best | None:
    """The better one of two epochs of the main phase."""
    aims = problem.config.aims
    if aims.is_plain:
        return better(best, candidate, problem.config.main_trainer.stop_crit)
    return latest_unbeaten(best, candidate, aims)


def _needs_retraining(problem: Problem, goal: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether the accuracy fell, or the class loss rose in proportion, by more than the tolerance."""
    config = problem.config.trainer.ganstyle
    crit = config.retrain_crit
    if METRICS[crit].direction == "max":
        return goal[crit] - metrics[crit] > config.tolerance
    # As a product: the class loss of a perfect classifier is 0.
    return metrics[crit] > goal[crit] * (1 + config.tolerance)


def main_best(problem: Problem, state: TrialState) -> Best | None:
    """The best epoch of the main phase so far."""
    return state.best if state.phase == main_phase(problem) else state.main_best
