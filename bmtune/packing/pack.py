"""Trials advanced together: one epoch of each as one batched program."""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import isfinite
from time import perf_counter
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor

from bmtune.born import Cores
from bmtune.config.metrics import without_picture
from bmtune.data import Split
from bmtune.evaluation.lanes import measure_lanes
from bmtune.packing.engine import LaneEngine
from bmtune.packing.stack import stack_players
from bmtune.packing.stack import stack_tensors
from bmtune.packing.stack import unstack_players
from bmtune.training import EpochReport
from bmtune.training import Problem
from bmtune.training import TrialState
from bmtune.training import advance
from bmtune.training.epoch import batches
from bmtune.training.epoch import train_epoch
from bmtune.training.player import Players
from bmtune.training.recipes import cores_of
from bmtune.training.rows import RowBatches
from bmtune.training.rows import compared_rows
from bmtune.training.seeds import derive
from bmtune.training.settle import Trained
from bmtune.training.settle import settle
from bmtune.training.trial import due_metrics
from bmtune.training.trial import next_epoch
from bmtune.training.trial import pictures


class Lane(NamedTuple):
    """A trial's place in a pack.

    Attributes:
        problem: What is trained.
        state: How far it has come.
    """

    problem: Problem
    state: TrialState


def advance_lanes(lanes: Sequence[Lane]) -> list[tuple[TrialState, EpochReport]]:
    """Trains one epoch of every trial and settles each as it would be alone.

    The seconds of a report are the trial's share of the pack's time.

    Args:
        lanes: Trials with equal pack keys, none of which has ended.
    """
    assert len({lane.state.phase for lane in lanes}) == 1, "trials of one pack are in one phase"
    if len(lanes) == 1:
        return [advance(*lanes[0])]
    began = perf_counter()
    common = common_problem(lanes)
    engine = LaneEngine([lane.problem for lane in lanes])
    before = [lane.state.players for lane in lanes]
    phase = lanes[0].state.phase
    drawn = stacked_batches(common, [lane.problem for lane in lanes], phase, [next_epoch(lane.state) for lane in lanes])
    players, means = train_epoch(engine, common, phase, stack_players(before), drawn)
    losses = _by_lane(means, len(lanes))
    metrics = _measured(common, lanes, Cores(*players[0].params), losses)
    after = unstack_players(players, before)
    share = (perf_counter() - began) / len(lanes)
    return [
        _settle(lane, (own, train | valid), share)
        for lane, own, train, valid in zip(lanes, after, losses, metrics, strict=True)
    ]


def _settle(lane: Lane, trained: tuple[Players, dict[str, float]], share: float) -> tuple[TrialState, EpochReport]:
    """What follows the epoch for one trial, which took `share` seconds of the pack's time so far."""
    began, (players, metrics) = perf_counter(), trained
    shown = pictures(lane.problem, lane.state.phase, cores_of(players), due_metrics(*lane))
    return settle(*lane, Trained(players, metrics, shown), lambda: share + perf_counter() - began)


def common_problem(lanes: Sequence[Lane]) -> Problem:
    """The problem of a pack: that of its first trial, with the largest physical dimension and all training rows."""
    first = lanes[0].problem
    largest = max((lane.problem.chain.physical_dim, index) for index, lane in enumerate(lanes))[1]
    wide = lanes[largest].problem
    sets = _row_sets([lane.problem for lane in lanes])
    splits = first.splits if len(sets) == 1 else {**first.splits, "train": _behind_one_another(*sets)}
    return replace(first, chain=wide.chain, gram=wide.gram, splits=splits)


def _row_sets(problems: Sequence[Problem]) -> list[Split]:
    """The training rows of some trials: those of each split of the data once, in order of their first trial."""
    found = {id(problem.splits): problem.splits["train"] for problem in problems}
    return list(found.values())


@lru_cache(maxsize=4)
def _behind_one_another(*sets: Split) -> Split:
    """All rows of some sets; kept, since what is derived from rows is found by their tensors."""
    return Split(torch.cat([rows.x for rows in sets]), torch.cat([rows.y for rows in sets]))


def _first_rows(problems: Sequence[Problem]) -> list[int]:
    """Where the training rows of each trial begin among those of all."""
    starts, end = dict[int, int](), 0
    for problem in problems:
        if id(problem.splits) not in starts:
            starts[id(problem.splits)] = end
            end += len(problem.splits["train"].y)
    return [starts[id(problem.splits)] for problem in problems]


def stacked_batches(
    common: Problem, problems: Sequence[Problem], phase: str, epochs: Sequence[int]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The batches of all trials, in step; each trial draws what it would draw alone.

    Args:
        common: The pack's problem.
        problems: Those of its trials.
        phase: Their phase.
        epochs: The number of the epoch of each.
    """
    own = [
        replace(problem, chain=common.chain, gram=common.gram, first_row=first_row)
        for problem, first_row in zip(problems, _first_rows(problems), strict=True)
    ]
    drawn = [batches(problem, phase, epoch) for problem, epoch in zip(own, epochs, strict=True)]
    numbers = [each for each in drawn if isinstance(each, RowBatches)]
    if len(numbers) == len(drawn):
        # Stacked once an epoch: batch by batch it took an eighth of a small step.
        yield from RowBatches.stacked(numbers)
        return
    for together in zip(*drawn, strict=True):
        weights, parts = zip(*together, strict=True)
        yield weights[0], tuple(stack_tensors(tensors) for tensors in zip(*parts, strict=True))


def _by_lane(means: dict[str, Tensor], num_lanes: int) -> list[dict[str, float]]:
    """Losses by trial, read from the device at once."""
    values = torch.stack(list(means.values())).T.tolist() if means else [[] for _ in range(num_lanes)]
    return [dict(zip(means, row, strict=True)) for row in values]


def _measured(
    common: Problem, lanes: Sequence[Lane], cores: Cores, losses: Sequence[dict[str, float]]
) -> list[dict[str, float]]:
    """The validation metrics of every trial; those on the same rows at which the same are due are measured together.

    A trial that lost its numbers has no metrics, as alone. It is measured all the same: with fewer trials the numbers
    of the others would be added up in another order.
    """
    finite = torch.stack([tensor.flatten(1).isfinite().all(1) for tensor in cores]).all(0).tolist()
    groups: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for index, lane in enumerate(lanes):
        names = without_picture(due_metrics(*lane))
        if names:
            groups.setdefault((tuple(names), id(lane.problem.splits)), []).append(index)
    found: list[dict[str, float]] = [{} for _ in lanes]
    for (names, _), members in groups.items():
        own = replace(common, splits=lanes[members[0]].problem.splits)
        chosen = cores if len(members) == len(lanes) else Cores(*(tensor[members] for tensor in cores))
        seeds = [
            derive(lanes[member].problem.config.seed_of(lanes[member].state.phase), "evaluate") for member in members
        ]
        valid, config = own.splits["valid"], common.config.evaluation
        real = compared_rows(own, names)
        values = measure_lanes(names, common.chain, chosen, valid, config, seeds=seeds, real=real)
        for member, metrics in zip(members, values, strict=True):
            if finite[member] and all(map(isfinite, losses[member].values())):
                found[member] = metrics
    return found
