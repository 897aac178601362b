"""The one loop: a trial as a sequence of epochs through its phases.

classification: `pre`.
generative: `gen`, after `pre` where `pretrain` is set.
adversarial: `adv`, after `pre` where `pretrain` is set.
gan: `pre`, then `gan`; a `gan` epoch that costs the classifier more than `tolerance` is followed by
a visit to `re` before it counts as finished.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from time import perf_counter

import torch

from bmtune.born import Cores
from bmtune.born import start_cores
from bmtune.config.metrics import METRICS
from bmtune.config.metrics import PICTURE
from bmtune.config.metrics import due
from bmtune.config.metrics import without_picture
from bmtune.config.training import GANStyleConfig
from bmtune.evaluation import measure
from bmtune.evaluation.pictures import picture
from bmtune.training.engine import Engine
from bmtune.training.engine import SoloEngine
from bmtune.training.problem import Problem
from bmtune.training.recipes import PHASES
from bmtune.training.recipes.base import Players
from bmtune.training.recipes.base import cores_of
from bmtune.training.seeds import derive
from bmtune.training.state import EpochReport
from bmtune.training.state import TrialState
from bmtune.training.status import Status
from bmtune.training.watch import Best
from bmtune.training.watch import better
from bmtune.training.watch import phase_status

MAIN_PHASE = {"classification": "pre", "gan": "gan", "generative": "gen", "adversarial": "adv"}
"""The phase that a recipe is about: its epochs are the trial's budget."""

SOLO = SoloEngine()


def main_phase(problem: Problem) -> str:
    """The phase whose epochs are the trial's budget."""
    return MAIN_PHASE[problem.config.recipe]


def start(problem: Problem, goal: Mapping[str, float] | None = None, engine: Engine = SOLO) -> TrialState:
    """The state before the first epoch.

    Args:
        problem: What is trained.
        goal: Metrics of the main phase at which the trial may end early.
        engine: Runs the recipes.
    """
    config = problem.config
    cores = start_cores(problem.chain, config.born, derive(config.seed, "cores"))
    cores = Cores(*(tensor.to(problem.device) for tensor in cores))
    return start_at(problem, _first_phase(problem), cores, goal=goal, engine=engine)


def start_at(
    problem: Problem,
    phase: str,
    cores: Cores,
    *,
    goal: Mapping[str, float] | None = None,
    reached_before: Mapping[str, float] | None = None,
    engine: Engine = SOLO,
) -> TrialState:
    """The state before the first epoch of a phase that begins with given cores.

    Args:
        problem: What is trained.
        phase: The phase to begin with.
        cores: The cores to begin with.
        goal: Metrics of the main phase at which the trial may end early.
        reached_before: What earlier training achieved, for retraining to reach again.
        engine: Runs the recipes.
    """
    players = _start_phase(engine, problem, phase, cores)
    return TrialState(phase, players, target=dict(goal or {}), goal=dict(reached_before or {}))


def _first_phase(problem: Problem) -> str:
    return "pre" if problem.config.pretrains else main_phase(problem)


def advance(problem: Problem, state: TrialState, engine: Engine = SOLO) -> tuple[TrialState, EpochReport]:
    """Trains one epoch of the current phase, measures it, and moves on to another phase where that is due."""
    assert not state.status.ended, "an ended trial trains no further epoch"
    began = perf_counter()
    phase, epoch = state.phase, state.epochs.get(state.phase, 0) + 1
    players, losses = _train_epoch(problem, state, engine, epoch)
    rules = PHASES[phase].rules(problem)
    names = due(rules.metrics, state.visit_epoch + 1)
    metrics = losses | _measured(problem, cores_of(players), names, losses)
    pictures = _pictures(problem, cores_of(players), names)
    state = replace(state, players=players, visit_epoch=state.visit_epoch + 1, epochs={**state.epochs, phase: epoch})
    if not _finite(state, metrics):
        state, eligible = replace(state, status=Status.DIVERGED), False
    elif phase == "gan":
        state, eligible = _after_gan(problem, state, metrics, engine)
    else:
        state, eligible, extra = _after_epoch(problem, state, metrics)
        metrics |= extra
        if not _finite(state, metrics):
            state, eligible = replace(state, status=Status.DIVERGED), False
    spent = perf_counter() - began
    state = replace(state, seconds={**state.seconds, phase: state.seconds.get(phase, 0.0) + spent})
    if phase == "pre" and state.phase != "pre" and not state.status.ended:
        # The critic's own pre-training belongs to no epoch: the averages leave it out, the report's time does not.
        state = replace(state, players=_start_phase(engine, problem, state.phase, state.cores))
        spent = perf_counter() - began
    report = _report(problem, state, (phase, epoch, metrics, spent, eligible))
    return state, replace(report, pictures=pictures)


def _start_phase(engine: Engine, problem: Problem, phase: str, cores: Cores) -> Players:
    return PHASES[phase].start(engine, problem, cores, derive(problem.config.seed, phase))


def _train_epoch(problem: Problem, state: TrialState, engine: Engine, epoch: int) -> tuple[Players, dict[str, float]]:
    """One pass over the training rows; losses are means over rows, read from the device once."""
    recipe, players = PHASES[state.phase], state.players
    weights, sums = dict[str, int](), dict[str, torch.Tensor]()
    for weight, batch in recipe.batches(problem, derive(problem.config.seed, state.phase, epoch), epoch):
        players, losses = recipe.step(engine, problem, players, batch)
        for name, loss in losses.items():
            weights[name] = weights.get(name, 0) + weight
            sums[name] = sums[name] + weight * loss if name in sums else weight * loss
    return players, {name: float(value) / weights[name] for name, value in sums.items()}


def _measured(problem: Problem, cores: Cores, names: tuple[str, ...], losses: Mapping[str, float]) -> dict[str, float]:
    """The validation metrics; nothing where training already lost its numbers."""
    if not all(map(isfinite, losses.values())) or not _finite_cores(cores):
        return {}
    # The same uniforms at every epoch: epochs are compared on equal draws.
    seed = derive(problem.config.seed, "evaluate")
    valid, config = problem.splits["valid"], problem.config.evaluation
    return measure(without_picture(names), problem.chain, cores, valid, config, seed=seed)


def _pictures(problem: Problem, cores: Cores, names: tuple[str, ...]) -> dict[str, bytes]:
    if PICTURE not in names or not _finite_cores(cores):
        return {}
    config, seed = problem.config.evaluation, derive(problem.config.seed, "picture")
    return {PICTURE: picture(problem.chain, cores, problem.splits["valid"], config, seed=seed)}


def _finite_cores(cores: Cores) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in cores)


def _finite(state: TrialState, metrics: Mapping[str, float]) -> bool:
    return all(map(isfinite, metrics.values())) and _finite_cores(state.cores)


def _after_epoch(
    problem: Problem, state: TrialState, metrics: dict[str, float]
) -> tuple[TrialState, bool, dict[str, float]]:
    """What follows an epoch of any phase but `gan`: the state, whether the epoch is eligible, and further metrics."""
    rules, is_main = PHASES[state.phase].rules(problem), main_phase(problem) == state.phase
    best = better(state.best, Best(state.visit_epoch, metrics, state.cores), rules.stop_crit)
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
    return _on_to_main(problem, state, cores)


def _on_to_main(problem: Problem, state: TrialState, cores: Cores) -> tuple[TrialState, bool, dict[str, float]]:
    """From `pre` to the main phase, from the best cores; their metrics are what the main phase starts from."""
    main = problem.config.main_trainer
    found = _measured(problem, cores, tuple(dict(main.metrics)), {})
    goal: dict[str, float] = {main.retrain_crit: found[main.retrain_crit]} if isinstance(main, GANStyleConfig) else {}
    players = (state.players[0]._replace(params=tuple(cores)),)
    state = replace(state, phase=main_phase(problem), players=players, visit_epoch=0, best=None, goal=goal)
    return state, False, {f"start/{name}": value for name, value in found.items()}


def _after_gan(
    problem: Problem, state: TrialState, metrics: dict[str, float], engine: Engine
) -> tuple[TrialState, bool]:
    """What follows an epoch of `gan`: retraining where the classifier suffered, or the next epoch."""
    if not _needs_retraining(problem, state.goal, metrics):
        return _finish_gan_epoch(problem, state, metrics, eligible=True), True
    players = _start_phase(engine, problem, "re", state.cores)
    state = replace(
        state, phase="re", players=players, visit_epoch=0, best=None, main_players=state.players, main_best=state.best
    )
    return state, False


def _back_to_gan(problem: Problem, state: TrialState, cores: Cores) -> tuple[TrialState, bool, dict[str, float]]:
    """From `re` back to `gan`: the interrupted epoch is finished with the retrained cores."""
    assert state.main_players is not None, "retraining interrupts a main phase"
    born, critic = state.main_players
    epoch = state.epochs["gan"]
    found = _measured(problem, cores, due(problem.config.trainer.ganstyle.metrics, epoch), {})
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
        best = better(best, Best(state.visit_epoch, metrics, state.cores), rules.stop_crit)
    status = phase_status(rules, state.visit_epoch, best, state.target if eligible else {}, metrics)
    return replace(state, best=best, budget=state.visit_epoch, status=status)


def _needs_retraining(problem: Problem, goal: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether the accuracy fell, or the class loss rose in proportion, by more than the tolerance."""
    config = problem.config.trainer.ganstyle
    crit = config.retrain_crit
    if METRICS[crit].direction == "max":
        return goal[crit] - metrics[crit] > config.tolerance
    # As a product: the class loss of a perfect classifier is 0.
    return metrics[crit] > goal[crit] * (1 + config.tolerance)


def _report(problem: Problem, state: TrialState, epoch: tuple[str, int, dict[str, float], float, bool]) -> EpochReport:
    phase, number, metrics, seconds, eligible = epoch
    best = main_best(problem, state)
    return EpochReport(
        phase,
        number,
        state.budget,
        metrics,
        seconds,
        state.status,
        eligible,
        best.epoch if best else None,
        dict(best.metrics) if best else None,
    )


def main_best(problem: Problem, state: TrialState) -> Best | None:
    """The best epoch of the main phase so far."""
    return state.best if state.phase == main_phase(problem) else state.main_best
