"""What a recipe is: the four functions that the one loop asks for."""

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor

from bmtune.born import Cores
from bmtune.config.metrics import MetricSchedule
from bmtune.config.optimizer import OptimizerConfig
from bmtune.data import class_batches
from bmtune.training.engine import Engine
from bmtune.training.engine import Params
from bmtune.training.optimizers import OptimizerState
from bmtune.training.optimizers import start_optimizer
from bmtune.training.problem import Problem


class Player(NamedTuple):
    """Tensors that one optimizer trains, with that optimizer's state.

    Attributes:
        params: The trained tensors.
        optimizer: What the optimizer remembers.
    """

    params: Params
    optimizer: OptimizerState

    @classmethod
    def start(cls, config: OptimizerConfig, params: Params) -> "Player":
        """The tensors before their first update."""
        return cls(params, start_optimizer(config, params))


Players = tuple[Player, ...]
"""Everything that a phase trains; the first player is the Born machine."""


class Step(NamedTuple):
    """What one step returns.

    Attributes:
        players: The players after the step.
        losses: Training losses by name, each a mean over the batch; still on the device.
    """

    players: Players
    losses: dict[str, Tensor]


class PhaseRules(NamedTuple):
    """When a phase ends and what is measured in it.

    Attributes:
        max_epoch: Most epochs.
        patience: Epochs without improvement of `stop_crit` after which it stops.
        stop_crit: The metric whose best epoch is kept.
        metrics: Metrics measured on the validation rows, each every so many epochs.
    """

    max_epoch: int
    patience: int
    stop_crit: str
    metrics: MetricSchedule


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


def cores_of(players: Players) -> Cores:
    """The cores of the Born machine among the players."""
    return Cores(*players[0].params)


def watched_norm(grads: Params, step: int, every: int) -> dict[str, Tensor]:
    """The norm of a gradient as a loss to report, at each `every`-th step; nothing at the others."""
    if step % every:
        return {}
    return {"train/grad_norm": torch.linalg.vector_norm(torch.stack([grad.norm() for grad in grads if grad.numel()]))}


EMBEDDED_AT_ONCE = 1 << 22
"""Numbers in the embedded rows that are kept at once: several batches are embedded in one go."""


def embedded_batches(problem: Problem, batch_size: int, seed: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """One pass over the training rows in seeded order: number of rows, features (N, d, B) and labels (B,)."""
    row = problem.chain.num_sites * problem.chain.physical_dim
    together = max(1, EMBEDDED_AT_ONCE // (row * batch_size)) * batch_size
    train, generator = problem.splits["train"], torch.Generator().manual_seed(seed)
    for x, y in class_batches(train.x, train.y, together, generator):
        phi = problem.chain.features(x)
        for features, labels in zip(phi.split(batch_size, -1), y.split(batch_size), strict=True):
            yield len(labels), (features, labels)
