"""A trial in a pack computes what it computes alone, whatever sizes and rates the others have."""

import pytest
import torch

from bmtune.packing.engine import LaneEngine
from bmtune.packing.pack import stacked_batches
from bmtune.packing.stack import stack_players
from bmtune.packing.stack import unstack_players
from bmtune.training import start
from bmtune.training.engine import SoloEngine
from bmtune.training.epoch import batches
from bmtune.training.recipes import PHASES

RECIPES = {
    "pre": "classification",
    "gen": "generative",
    "adv": "adversarial",
    "gan": "gan",
    "critic": "gan",
    "re": "gan",
}
SIZES = [{"born.bond_dim": 4, "born.physical_dim": 3}, {"born.bond_dim": 3, "born.physical_dim": 4}]
"""Each of the two trials is padded along one axis."""


def tolerance(dtype, optimizer):
    """How far packed and single training may lie apart, relative to the largest number of each tensor.

    Stacked matrix products add up in another order, which changes the last bit: 1e-16 or 6e-8. Adam divides a gradient
    by its own root mean square, so an entry whose gradient is about as small as its rounding error moves by up to the
    learning rate in a direction of its own. Measured at most: double precision 1e-14 after 50 steps; single precision
    after 12 steps 3e-7 with sgd and 2e-5 with adam and adamw.
    """
    if dtype == "float64":
        return 1e-9
    return 1e-5 if optimizer == "sgd" else 1e-3


def endless(draw):
    epoch = 1
    while True:
        yield from (batch for _, batch in draw(epoch))
        epoch += 1


def started(problem, phase):
    return PHASES[phase].start(SoloEngine(), problem, start(problem).cores, problem.config.seed)


def alone(problem, phase, steps):
    players, drawn = started(problem, phase), endless(lambda epoch: batches(problem, phase, epoch))
    for _ in range(steps):
        players, losses, _ = PHASES[phase].step(SoloEngine(), problem, players, next(drawn))
    return players, losses


def packed(problems, phase, steps):
    """The stack after so many steps, and the losses of the last one."""
    common = max(problems, key=lambda problem: problem.chain.physical_dim)
    players, engine = stack_players([started(problem, phase) for problem in problems]), LaneEngine(problems)
    drawn = endless(lambda epoch: stacked_batches(common, problems, phase, [epoch] * len(problems)))
    for _ in range(steps):
        players, losses, _ = PHASES[phase].step(engine, common, players, next(drawn))
    return players, losses


def tensors(players):
    """The trained tensors that hold numbers."""
    return [tensor for player in players for tensor in player.params if tensor.numel()]


def distance(found, wanted):
    """The largest difference, relative to the largest number of each tensor."""
    pairs = zip(tensors(found), tensors(wanted), strict=True)
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex64"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("phase", ["pre", "gen", "adv", "gan"])
def test_every_trial_of_a_pack_of_mixed_sizes_equals_the_same_trial_alone(lane_problem, phase, optimizer, dtype):
    steps = 50 if dtype == "float64" else 12
    check_equal(lane_problem, phase, {"born.dtype": dtype}, steps, optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("phase", ["critic", "re"])
def test_the_phases_around_the_game_equal_themselves_alone(lane_problem, phase, optimizer):
    check_equal(lane_problem, phase, {}, 50, optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "values"),
    [
        ("pre", {"trainer.classification.criterion.name": "brier"}),
        ("pre", {"born.embedding": "hermite", "born.init": "normal"}),
        ("gen", {"trainer.generative.criterion.name": "nll", "trainer.generative.norm_control.every": 0}),
        ("gen", {"born.embedding": "hermite", "born.dtype": "complex64"}),
        ("adv", {"trainer.adversarial.method.name": "pgd-at", "trainer.adversarial.method.clean_weight": 0.3}),
        ("adv", {"trainer.adversarial.attack.norm": "linf", "trainer.adversarial.attack.restarts": 2}),
        ("gan", {"trainer.ganstyle.critic.loss.name": "bce", "trainer.ganstyle.critic.head": "agnostic"}),
    ],
)
def test_other_settings_equal_themselves_alone(lane_problem, phase, values):
    check_equal(lane_problem, phase, values, 15)


def check_equal(lane_problem, phase, values, steps, *, optimizer="adam"):
    dtype = values.get("born.dtype", "float64")
    close = tolerance(dtype, optimizer)
    problems = [
        lane_problem(RECIPES[phase], number, size | values, optimizer=optimizer) for number, size in enumerate(SIZES)
    ]
    before = [started(problem, phase) for problem in problems]
    stack, losses = packed(problems, phase, steps)
    for number, (problem, found) in enumerate(zip(problems, unstack_players(stack, before), strict=True)):
        wanted, its_losses = alone(problem, phase, steps)
        assert distance(found, wanted) <= close
        assert [player.optimizer.step for player in found] == [player.optimizer.step for player in wanted]
        for name, loss in its_losses.items():
            torch.testing.assert_close(losses[name][number], loss, rtol=close, atol=close)
        # Training moved the trial much further than the two may differ.
        assert distance(wanted, before[number]) > 3 * close


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("phase", ["pre", "gen", "adv", "gan"])
def test_padding_stays_exactly_zero(lane_problem, phase, optimizer):
    problems = [
        lane_problem(RECIPES[phase], number, size | {"born.dtype": "complex64"}, optimizer=optimizer)
        for number, size in enumerate(SIZES)
    ]
    stack, _ = packed(problems, phase, 6)
    mask = stack[0].mask
    assert mask is not None
    assert any(bool((~own).any()) for own in mask)
    for remembered in (stack[0].params, stack[0].optimizer.first, stack[0].optimizer.second):
        if remembered:
            # Optimizers remember nothing of an empty tensor, and complex numbers as pairs.
            holding = [own for own in mask if own.numel()] if remembered is not stack[0].params else mask
            for tensor, own in zip(remembered, holding, strict=True):
                outside = ~own if tensor.ndim == own.ndim else ~own.unsqueeze(-1).expand(tensor.shape)
                assert torch.count_nonzero(tensor[outside]) == 0


def test_each_trial_of_these_tests_is_padded_and_comes_back_as_it_went(lane_problem):
    players = [started(lane_problem("classification", number, size), "pre") for number, size in enumerate(SIZES)]
    stack = stack_players(players)
    assert all(tensor.numel() for tensor in stack[0].params), "every kind of core takes part"
    assert all(bool((~own[lane]).any()) for own in stack[0].mask[:3] for lane in range(2))
    for its_own, back in zip(players, unstack_players(stack, players), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(tensors(its_own), tensors(back), strict=True))
