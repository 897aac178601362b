"""What a recipe is: the four functions that the one loop asks for."""

from collections.abc import Iterable
from typing import Any
from typing import NamedTuple
from typing import Protocol

from torch import Tensor

from bmtune.born import Cores
from bmtune.config.metrics import MetricSchedule
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

    def batches(self, problem: Problem, seed: int, epoch: int) -> Iterable[tuple[int, tuple[Any, ...]]]:
        """Pass number `epoch`, from 1, over the training rows: each batch with its weight, its number of rows."""
        ...

    def step(self, engine: Engine, problem: Problem, players: Players, batch: tuple[Any, ...]) -> Step:
        """One update of every player."""
        ...


__all__ = ["PhaseRules", "Player", "Players", "Recipe", "Step", "cores_of"]


def cores_of(players: Players) -> Cores:
    """The cores of the Born machine among the players."""
    return Cores(*players[0].params)
