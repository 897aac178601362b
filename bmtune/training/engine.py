"""How a recipe's functions are run: for one trial here, over a trial axis by another engine.

A recipe never differentiates or loops by itself: it hands functions of one trial to an engine.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol

import torch
from torch import Tensor

from bmtune.config.optimizer import OptimizerConfig
from bmtune.training.optimizers import OptimizerState
from bmtune.training.optimizers import update

Params = tuple[Tensor, ...]


class Engine(Protocol):
    """Runs the functions of one trial."""

    def value_and_grad(
        self, loss: Callable[..., Tensor], params: Params, *arguments: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The value of `loss(params, *arguments)`, detached, and its gradient in the params."""
        ...

    def call(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """`function(*arguments)` without gradients."""
        ...

    def update(
        self, config: OptimizerConfig, params: Params, grads: tuple[Tensor, ...], state: OptimizerState
    ) -> tuple[Params, OptimizerState]:
        """One step of an optimizer."""
        ...


class SoloEngine:
    """Runs one trial, as it is written."""

    def value_and_grad(
        self, loss: Callable[..., Tensor], params: Params, *arguments: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Engine.value_and_grad`."""
        leaves = tuple(param.detach().requires_grad_() for param in params)
        value = loss(leaves, *arguments)
        # An empty tensor (a chain without odd core) takes no part in the loss: its gradient is itself.
        found = iter(torch.autograd.grad(value, [leaf for leaf in leaves if leaf.numel()]))
        return value.detach(), tuple(next(found) if leaf.numel() else leaf.detach() for leaf in leaves)

    def call(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """See `Engine.call`."""
        with torch.no_grad():
            return function(*arguments)

    def update(
        self, config: OptimizerConfig, params: Params, grads: tuple[Tensor, ...], state: OptimizerState
    ) -> tuple[Params, OptimizerState]:
        """See `Engine.update`."""
        return update(config, params, grads, state)
