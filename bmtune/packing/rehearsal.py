"""An epoch in small, to be measured: real steps on copies of the lanes, and all that follows the last one."""

from collections.abc import Iterator
from collections.abc import Sequence
from itertools import count
from typing import Any

from bmtune.born import Cores
from bmtune.config.metrics import without_picture
from bmtune.config.root import EvaluationConfig
from bmtune.evaluation import measure_lanes
from bmtune.evaluation.robustness import is_robustness
from bmtune.packing.engine import LaneEngine
from bmtune.packing.pack import Lane
from bmtune.packing.pack import common_problem
from bmtune.packing.pack import stacked_batches
from bmtune.packing.stack import stack_players
from bmtune.packing.stack import unstack_players
from bmtune.training.engine import Engine
from bmtune.training.engine import SoloEngine
from bmtune.training.epoch import batches
from bmtune.training.player import Players
from bmtune.training.recipes import PHASES
from bmtune.training.recipes import cores_of
from bmtune.training.rows import compared_rows
from bmtune.training.trial import next_epoch

STRENGTH = 0.1
"""How strong an attack is makes no difference to the memory that it takes."""


def steps(lanes: Sequence[Lane]) -> Iterator[Players]:
    """Steps of copies of the lanes, with the drawing of their batches, as long as they are asked for.

    Several lanes are stepped as a pack; what is yielded are the stacked players, or those of the only lane.
    """
    recipe = PHASES[lanes[0].state.phase]
    engine: Engine
    if len(lanes) == 1:
        engine, problem, players = SoloEngine(), lanes[0].problem, lanes[0].state.players
    else:
        engine, problem = LaneEngine([lane.problem for lane in lanes]), common_problem(lanes)
        players = stack_players([lane.state.players for lane in lanes])
    for batch in _endless(lanes):
        players = recipe.step(engine, problem, players, batch).players
        yield players


def rest_of_epoch(lanes: Sequence[Lane], players: Players) -> None:
    """What follows the last step of an epoch at which every metric of the phase is due, and is thrown away."""
    problem, phase = common_problem(lanes), lanes[0].state.phase
    names = quick_names(without_picture(dict(PHASES[phase].rules(problem).metrics)))
    cores = cores_of(players)
    if len(lanes) == 1:
        cores = Cores(*(tensor.unsqueeze(0) for tensor in cores))
    if names:
        valid, config = problem.splits["valid"], one_attack_step(problem.config.evaluation)
        real = compared_rows(problem, names)
        measure_lanes(names, problem.chain, cores, valid, config, seeds=range(len(lanes)), real=real)
    if len(lanes) > 1:
        unstack_players(players, [lane.state.players for lane in lanes])


def quick_names(names: Sequence[str]) -> tuple[str, ...]:
    """Metrics that take about as much memory as the named ones, and less time.

    All attacks go through the rows in the same chunks, and hold what one gradient step of a chunk needs. So one
    strength of the configured attack stands for all accuracies under attack.
    """
    others = tuple(name for name in names if not is_robustness(name))
    return (*others, f"rob/{STRENGTH}") if len(others) < len(names) else others


def one_attack_step(config: EvaluationConfig) -> EvaluationConfig:
    """The configuration with attacks of one gradient step, at one strength."""
    attack = config.attack.model_copy(update={"steps": 1})
    return config.model_copy(update={"attack": attack, "strengths": (STRENGTH,)})


def _endless(lanes: Sequence[Lane]) -> Iterator[tuple[Any, ...]]:
    """The batches of the next epoch, of the one after it, and so on."""
    problems, phase = [lane.problem for lane in lanes], lanes[0].state.phase
    for later in count():
        epochs = [next_epoch(lane.state) + later for lane in lanes]
        if len(lanes) == 1:
            drawn = iter(batches(problems[0], phase, epochs[0]))
        else:
            drawn = stacked_batches(common_problem(lanes), problems, phase, epochs)
        yield from (batch for _, batch in drawn)
