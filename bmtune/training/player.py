"""What an optimizer trains: tensors with that optimizer's state."""

from typing import NamedTuple

from torch import Tensor

from bmtune.config.optimizer import OptimizerConfig
from bmtune.training.optimizers import OptimizerState
from bmtune.training.optimizers import start_optimizer

Params = tuple[Tensor, ...]


class Player(NamedTuple):
    """Tensors that one optimizer trains, with that optimizer's state.

    Attributes:
        params: The trained tensors.
        optimizer: What the optimizer remembers.
        mask: 1 where a tensor holds the trial's own numbers and 0 where it was padded; None where all are its own.
    """

    params: Params
    optimizer: OptimizerState
    mask: Params | None = None

    @classmethod
    def start(cls, config: OptimizerConfig, params: Params) -> "Player":
        """The tensors before their first update."""
        return cls(params, start_optimizer(config, params))

    @classmethod
    def held(cls, params: Params) -> "Player":
        """Tensors that never move."""
        return cls(params, OptimizerState(0, (), ()))


Players = tuple[Player, ...]
"""Everything that a phase trains; the first player is the Born machine."""
