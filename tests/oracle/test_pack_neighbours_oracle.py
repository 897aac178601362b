"""What happens to a trial of a pack is its own affair: neighbours may be sick, leave, join or be exchanged."""

import math
from dataclasses import replace
from itertools import count

import pytest
import torch

from bmtune.packing import Lane
from bmtune.packing import advance_lanes
from bmtune.packing import pack_key
from bmtune.packing.engine import LaneEngine
from bmtune.packing.pack import common_problem
from bmtune.packing.pack import stacked_batches
from bmtune.packing.stack import stack_players
from bmtune.packing.stack import unstack_players
from bmtune.training import Status
from bmtune.training import advance
from bmtune.training import start
from bmtune.training.recipes import PHASES as RECIPE_OF
from bmtune.training.settle import entered

RECIPES = ["classification", "generative", "gan", "adversarial"]
PHASES = {
    "pre": "classification",
    "gen": "generative",
    "adv": "adversarial",
    "gan": "gan",
    "critic": "gan",
    "re": "gan",
}
STEPS = 50
SIZES = [(4, 4), (5, 5), (4, 5)]
"""Bond and physical dimensions, all of one bucket."""


def sizes(number):
    bond_dim, physical_dim = SIZES[number % len(SIZES)]
    return {"born.bond_dim": bond_dim, "born.physical_dim": physical_dim}


def in_phase(problem, phase):
    """A trial of a recipe at the start of one of its phases."""
    state = start(problem, goal={})
    # Retraining ends with what the classifier had reached, which it has from the start here.
    state = replace(state, goal={"acc": 0.0, "loss": 100.0}, epochs={"gan": 1})
    entered_there = entered(problem, state, phase, state.cores)
    if phase == "gan":
        return replace(entered_there, phase="gan")
    main_players = entered(problem, state, "gan", state.cores).players if phase == "re" else None
    return replace(entered_there, main_players=main_players)


def tensors(players):
    """Every tensor that the next step of the players depends on."""
    return [
        tensor for player in players for tensor in (*player.params, *player.optimizer.first, *player.optimizer.second)
    ]


def bits(state):
    """Every tensor that the trial's next epoch depends on."""
    return tensors(state.players)


def same_tensors(one, other):
    return all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def same_bits(one, other):
    return same_tensors(bits(one), bits(other))


def with_nan(lane):
    """The trial with a core that lost its numbers."""
    first, *others = lane.state.players
    broken = tuple(tensor.clone() for tensor in first.params)
    broken[0].view(-1)[0] = math.nan
    return Lane(lane.problem, replace(lane.state, players=(first._replace(params=broken), *others)))


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_trial_that_lost_its_numbers_changes_no_bit_of_another(lane_problem, phase):
    problems = [lane_problem(PHASES[phase], number, sizes(number)) for number in range(3)]
    lanes = [Lane(problem, in_phase(problem, phase)) for problem in problems]
    sane = advance_lanes(lanes)
    sick = advance_lanes([lanes[0], with_nan(lanes[1]), lanes[2]])
    for number in (0, 2):
        assert same_bits(sane[number][0], sick[number][0])
        assert sane[number][1].metrics == sick[number][1].metrics
        assert sick[number][0].status is not Status.DIVERGED
    check_report(sick[1], advance(*with_nan(lanes[1])))
    assert sick[1][0].status is Status.DIVERGED


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("phase", ["pre", "gan"])
def test_a_trial_with_an_absurd_learning_rate_changes_no_bit_of_another(lane_problem, phase, optimizer):
    section = "classification" if phase == "pre" else "ganstyle"
    absurd = {f"trainer.{section}.optimizer.lr": 1e300, f"trainer.{section}.optimizer.weight_decay": 1e300}
    chosen = [sizes(0), sizes(1), sizes(2)]
    sane = [lane_problem(PHASES[phase], number, size, optimizer=optimizer) for number, size in enumerate(chosen)]
    sick = [sane[0], lane_problem(PHASES[phase], 1, chosen[1] | absurd, optimizer=optimizer), sane[2]]
    found = [advance_lanes([Lane(problem, in_phase(problem, phase)) for problem in pack]) for pack in (sane, sick)]
    for number in (0, 2):
        assert same_bits(found[0][number][0], found[1][number][0])
        assert found[0][number][1].metrics == found[1][number][1].metrics
    assert found[1][1][0].status is Status.DIVERGED
    assert found[1][1][1].status is Status.DIVERGED


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex64"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("phase", PHASES)
def test_no_bit_of_a_trial_changes_in_fifty_steps_beside_one_that_lost_its_numbers(
    lane_problem, phase, optimizer, dtype
):
    problems = [
        lane_problem(PHASES[phase], number, sizes(number) | {"born.dtype": dtype}, optimizer=optimizer)
        for number in range(3)
    ]
    lanes = [Lane(problem, in_phase(problem, phase)) for problem in problems]
    before = [lane.state.players for lane in lanes]
    # Side by side on the same batches, with the middle trial as it is and without its numbers.
    packs = [stack_players(before), stack_players([before[0], with_nan(lanes[1]).state.players, before[2]])]
    engine, common, recipe = LaneEngine(problems), common_problem(lanes), RECIPE_OF[phase]
    drawn = endless(lambda epoch: stacked_batches(common, problems, phase, [epoch] * 3))
    for _ in range(STEPS):
        batch = next(drawn)
        packs = [recipe.step(engine, common, players, batch).players for players in packs]
    sane, sick = (unstack_players(players, before) for players in packs)
    for number in (0, 2):
        assert same_tensors(tensors(sane[number]), tensors(sick[number]))
        assert not same_tensors(tensors(sane[number]), tensors(before[number])), "it was trained"
    assert all(torch.isfinite(tensor).all() for tensor in tensors(sane[1]))
    assert any(torch.isnan(tensor).any() for tensor in tensors(sick[1]))


def endless(draw):
    return (batch for epoch in count(1) for _, batch in draw(epoch))


def check_report(found, wanted, *, close=1e-9):
    """Two results of one epoch are equal, up to the order in which numbers were added up."""
    (state, report), (its_state, its_report) = found, wanted
    assert report.phase == its_report.phase
    assert (report.epoch, report.budget, report.eligible) == (its_report.epoch, its_report.budget, its_report.eligible)
    assert (report.status, report.best_epoch) == (its_report.status, its_report.best_epoch)
    assert report.metrics.keys() == its_report.metrics.keys()
    for name, value in its_report.metrics.items():
        assert report.metrics[name] == pytest.approx(value, rel=close, abs=close, nan_ok=True), name
    for tensor, its_tensor in zip(bits(state), bits(its_state), strict=True):
        torch.testing.assert_close(tensor, its_tensor, rtol=close, atol=close, equal_nan=True)


def to_the_end(problem):
    state, results = start(problem), []
    while not state.status.ended:
        state, report = advance(problem, state)
        results.append((state, report))
    return results


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_whole_trials_equal_themselves_alone_while_others_join_and_leave(lane_problem, recipe):
    long_enough = {f"trainer.{recipe}.max_epoch": 4} if recipe in ("generative", "adversarial") else {}
    problems = [lane_problem(recipe, number, sizes(number) | long_enough) for number in range(3)]
    states, results = [start(problem) for problem in problems], [[] for _ in problems]
    packs, turn = set(), 0
    while any(not state.status.ended for state in states):
        packs_now = {}
        for number, state in enumerate(states):
            # Trial n joins at turn n; each ends when its own rules say so.
            if number <= turn and not state.status.ended:
                packs_now.setdefault(pack_key(problems[number], state), []).append(number)
        for members in packs_now.values():
            packs.add((states[members[0]].phase, tuple(members)))
            lanes = [Lane(problems[member], states[member]) for member in members]
            for member, result in zip(members, advance_lanes(lanes), strict=True):
                states[member] = result[0]
                results[member].append(result)
        turn += 1
    assert len({members for _, members in packs if len(members) > 1}) > 1, "packs of several kinds were formed"
    for problem, found in zip(problems, results, strict=True):
        wanted = to_the_end(problem)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            check_report(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_exchanged_neighbour_of_the_same_size_changes_no_bit(lane_problem, recipe):
    problems = [lane_problem(recipe, number, sizes(number)) for number in range(4)]
    lanes = [Lane(problem, in_phase(problem, main_phase_of(recipe))) for problem in problems]
    once = [Lane(lane.problem, state) for lane, (state, _) in zip(lanes, advance_lanes(lanes[:3]), strict=False)]
    stayed = advance_lanes(once)
    # Trial 3 has the sizes of trial 0 and comes in its place, an epoch younger.
    exchanged = advance_lanes([lanes[3], *once[1:]])
    for number in (1, 2):
        assert same_bits(stayed[number][0], exchanged[number][0])
        assert stayed[number][1].metrics == exchanged[number][1].metrics
    assert not same_bits(stayed[0][0], exchanged[0][0])


def main_phase_of(recipe):
    return {"classification": "pre", "generative": "gen", "gan": "gan", "adversarial": "adv"}[recipe]


@pytest.mark.slow
def test_the_order_and_the_number_of_neighbours_change_a_trial_by_rounding_alone(lane_problem):
    problems = [lane_problem("classification", number, sizes(number)) for number in range(3)]
    lanes = [Lane(problem, start(problem)) for problem in problems]
    alone = advance(*lanes[0])
    for others in ([1], [2], [1, 2]):
        pack = [lanes[0], *(lanes[number] for number in others)]
        check_report(advance_lanes(pack)[0], alone, close=1e-12)
        check_report(advance_lanes(pack[::-1])[-1], alone, close=1e-12)
