"""One pass of a phase over the training rows."""

from collections.abc import Iterable
from typing import Any

import torch

from bmtune.training.engine import Engine
from bmtune.training.player import Players
from bmtune.training.problem import Problem
from bmtune.training.recipes import PHASES
from bmtune.training.seeds import derive

Batches = Iterable[tuple[int, tuple[Any, ...]]]
GRADIENT_NORM = "train/grad_norm"


def batches(problem: Problem, phase: str, epoch: int) -> Batches:
    """The batches of a phase's epoch number `epoch`, from 1, each with the number of its rows."""
    return PHASES[phase].batches(problem, derive(problem.config.seed_of(phase), phase, epoch), epoch)


def train_epoch(
    engine: Engine, problem: Problem, phase: str, players: Players, given: Batches
) -> tuple[Players, dict[str, torch.Tensor]]:
    """The players after a pass, and its losses: means over rows, still on the device.

    The norm of the gradient is a mean over the steps at which it was watched.
    """
    recipe, every = PHASES[phase], PHASES[phase].rules(problem).watch_freq
    weights, sums = dict[str, int](), dict[str, torch.Tensor]()
    for number, (weight, batch) in enumerate(given):
        players, losses, grads = recipe.step(engine, problem, players, batch)
        if number % every == 0:
            losses[GRADIENT_NORM] = engine.norm(grads)
        for name, loss in losses.items():
            weights[name] = weights.get(name, 0) + weight
            sums[name] = sums[name] + weight * loss if name in sums else weight * loss
    return players, {name: value / weights[name] for name, value in sums.items()}
