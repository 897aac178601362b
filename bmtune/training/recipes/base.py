"""What a recipe is: the four functions that the one loop asks for."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.config.metrics import MetricSchedule
from bmtune.data import row_order
from bmtune.training.engine import Engine
from bmtune.training.player import Params
from bmtune.training.player import Player
from bmtune.training.player import Players
from bmtune.training.problem import Problem


class Step(NamedTuple):
    """What one step returns.

    Attributes:
        players: The players after the step.
        losses: Training losses by name, each a mean over the batch; still on the device.
        grads: Gradient in the tensors of the player that the phase is about.
    """

    players: Players
    losses: dict[str, Tensor]
    grads: Params


class PhaseRules(NamedTuple):
    """When a phase ends and what is measured in it.

    Attributes:
        max_epoch: Most epochs.
        patience: Epochs without improvement of `stop_crit` after which it stops.
        stop_crit: The metric whose best epoch is kept.
        metrics: Metrics measured on the validation rows, each every so many epochs.
        watch_freq: The norm of the gradient is logged at the first step of an epoch and every so many from there.
    """

    max_epoch: int
    patience: int
    stop_crit: str
    metrics: MetricSchedule
    watch_freq: int


class Recipe(Protocol):
    """One kind of step, as pure functions written for one trial."""

    def rules(self, problem: Problem) -> PhaseRules:
        """When the phase ends and what is measured."""
        ...

    def start(self, engine: Engine, problem: Problem, cores: Cores, seed: int) -> Players:
        """The players before the first step."""
        ...

    def batches(self, problem: Problem, seed: int, epoch: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Pass number `epoch`, from 1, over the training rows: each batch with its weight, its number of rows."""
        ...

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """One update of every player."""
        ...


__all__ = ["PhaseRules", "Player", "Players", "Recipe", "Step", "cores_of", "embedded_batches", "embedded_rows"]


def cores_of(players: Players) -> Cores:
    """The cores of the Born machine among the players."""
    return Cores(*players[0].params)


EMBEDDED_AT_ONCE = 1 << 22
"""Numbers in embedded rows that are kept at once."""


def embedded_batches(problem: Problem, batch_size: int, seed: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """One pass over the training rows in seeded order: number of rows, features (N, d, B) and labels (B,)."""
    train = problem.splits["train"]
    order = row_order(len(train.y), torch.Generator().manual_seed(seed), train.y.device)
    row = problem.chain.num_sites * problem.chain.physical_dim
    whole = embedded_rows(problem.chain, train.x) if row * len(order) <= EMBEDDED_AT_ONCE else None
    together = max(1, EMBEDDED_AT_ONCE // (row * batch_size)) * batch_size
    for chosen in order.split(together):
        phi = problem.chain.features(train.x[chosen]) if whole is None else whole.index_select(-1, chosen)
        for features, labels in zip(phi.split(batch_size, -1), train.y[chosen].split(batch_size), strict=True):
            yield len(labels), (features, labels)


@lru_cache(maxsize=4)
def embedded_rows(chain: Chain, x: Tensor) -> Tensor:
    """All rows embedded, (N, d, R): epochs and trials on the same rows share them."""
    return chain.features(x)
