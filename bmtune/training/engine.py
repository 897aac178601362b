"""How a recipe's functions are run: for one trial here, over a trial axis by another engine.

A recipe never differentiates or loops by itself: it hands functions of one trial to an engine, and names the
hyperparameters that may differ between trials by their paths.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol
from typing import TypeVar

import torch
from torch import Tensor

from bmtune.config.paths import get
from bmtune.training.optimizers import OptimizerState
from bmtune.training.optimizers import update
from bmtune.training.player import Params
from bmtune.training.player import Player
from bmtune.training.problem import Problem

Value = TypeVar("Value")
Number = float | Tensor


class Engine(Protocol):
    """Runs the functions of one trial."""

    def number(self, problem: Problem, path: str) -> Number:
        """The hyperparameter at a dotted path, as an argument for functions of one trial."""
        ...

    def value_and_grad(
        self, loss: Callable[..., Tensor], player: Player, *arguments: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The value of `loss(player.params, *arguments)`, detached, and its gradient in the params."""
        ...

    def value_and_slopes(
        self, function: Callable[..., tuple[Tensor, Params]], player: Player, *arguments: Any
    ) -> tuple[Tensor, Params]:
        """What `function(player.params, *arguments)` returns: a value and, derived by hand, its gradient in the params.

        The function bears free axes in front of every tensor, one for trials that are trained together.
        """
        ...

    def call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """`function(*arguments)` without gradients."""
        ...

    def bind(self, function: Callable[..., Tensor], *arguments: Any) -> Callable[[Tensor], Tensor]:
        """`rows -> function(rows, *arguments)`, differentiable in rows only; rows may not influence one another."""
        ...

    def update(self, problem: Problem, path: str, player: Player, grads: Params) -> Player:
        """One step of the optimizer that is configured at a dotted path."""
        ...

    def due(self, state: OptimizerState, every: int) -> bool | Tensor:
        """Whether something is due after so many updates, every `every` of them; False where it is for no trial."""
        ...

    def norm(self, grads: Params) -> Tensor:
        """The Euclidean norm of a gradient."""
        ...


class SoloEngine:
    """Runs one trial, as it is written."""

    def number(self, problem: Problem, path: str) -> Number:
        """See `Engine.number`."""
        found: float = get(problem.config, path)
        return found

    def value_and_grad(
        self, loss: Callable[..., Tensor], player: Player, *arguments: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Engine.value_and_grad`."""
        leaves = tuple(param.detach().requires_grad_() for param in player.params)
        value = loss(leaves, *arguments)
        # An empty tensor (a chain without odd core) takes no part in the loss: its gradient is itself.
        found = iter(torch.autograd.grad(value, [leaf for leaf in leaves if leaf.numel()]))
        return value.detach(), tuple(next(found) if leaf.numel() else leaf.detach() for leaf in leaves)

    def value_and_slopes(
        self, function: Callable[..., tuple[Tensor, Params]], player: Player, *arguments: Any
    ) -> tuple[Tensor, Params]:
        """See `Engine.value_and_slopes`."""
        with torch.no_grad():
            return function(player.params, *arguments)

    def call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """See `Engine.call`."""
        with torch.no_grad():
            return function(*arguments)

    def bind(self, function: Callable[..., Tensor], *arguments: Any) -> Callable[[Tensor], Tensor]:
        """See `Engine.bind`."""
        return lambda rows: function(rows, *arguments)

    def update(self, problem: Problem, path: str, player: Player, grads: Params) -> Player:
        """See `Engine.update`."""
        return Player(*update(get(problem.config, path), player.params, grads, player.optimizer))

    def due(self, state: OptimizerState, every: int) -> bool | Tensor:
        """See `Engine.due`."""
        return bool(every) and int(state.step) % every == 0

    def norm(self, grads: Params) -> Tensor:
        """See `Engine.norm`."""
        norms = [torch.linalg.vector_norm(grad) for grad in grads if grad.numel()]
        found: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return found
