"""Runs the functions of one trial over a leading axis of trials: one batched program, one backward pass.

Notation: `P` trials. Every tensor that goes in or comes out has a leading axis of length P.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import torch
from torch import Tensor

from bmtune.config.paths import get
from bmtune.packing.optimizers import Rates
from bmtune.packing.optimizers import update_lanes
from bmtune.training import Problem
from bmtune.training.engine import Number
from bmtune.training.optimizers import OptimizerState
from bmtune.training.player import Params
from bmtune.training.player import Player

Value = TypeVar("Value")


class LaneEngine:
    """An engine for trials that are advanced together; see `bmtune.training.engine.Engine`.

    The loss of a trial depends on its own tensors only, so one backward pass of the sum gives every trial its own
    gradient, and a trial whose loss is not a number changes no other.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        """An engine for these trials, in this order."""
        self._configs = [problem.config for problem in problems]
        self._device = problems[0].device
        self._dtype = problems[0].chain.real_dtype
        self._numbers: dict[str, Tensor] = {}
        self._rates: dict[str, Rates] = {}

    def number(self, problem: Problem, path: str) -> Number:
        """See `Engine.number`: the value of each trial, (P,)."""
        if path not in self._numbers:
            values = [float(get(config, path)) for config in self._configs]
            self._numbers[path] = torch.tensor(values, dtype=self._dtype, device=self._device)
        return self._numbers[path]

    def value_and_grad(
        self, loss: Callable[..., Tensor], player: Player, *arguments: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `Engine.value_and_grad`: the values (P,) and gradients, which are 0 where a tensor was padded."""
        leaves = tuple(param.detach().requires_grad_() for param in player.params)
        dims = tuple(None if isinstance(argument, float) else 0 for argument in arguments)
        values = torch.vmap(loss, in_dims=(0, *dims))(leaves, *arguments)
        found = iter(torch.autograd.grad(values.sum(), [leaf for leaf in leaves if leaf.numel()]))
        grads = tuple(next(found) if leaf.numel() else leaf.detach() for leaf in leaves)
        return values.detach(), _unpadded(player, grads)

    def value_and_slopes(
        self, function: Callable[..., tuple[Tensor, Params]], player: Player, *arguments: Any
    ) -> tuple[Tensor, Params]:
        """See `Engine.value_and_slopes`: the values (P,) and gradients, which are 0 where a tensor was padded."""
        with torch.no_grad():
            values, grads = function(player.params, *arguments)
        return values, _unpadded(player, grads)

    def call(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """See `Engine.call`."""
        with torch.no_grad():
            result: Value = torch.vmap(function)(*arguments)
            return result

    def bind(self, function: Callable[..., Tensor], *arguments: Any) -> Callable[[Tensor], Tensor]:
        """See `Engine.bind`."""
        mapped = torch.vmap(function)
        return lambda rows: mapped(rows, *arguments)

    def update(self, problem: Problem, path: str, player: Player, grads: Params) -> Player:
        """See `Engine.update`."""
        if path not in self._rates:
            self._rates[path] = Rates.of([get(config, path) for config in self._configs])
        params, state = update_lanes(self._rates[path], player.params, grads, player.optimizer)
        return player._replace(params=params, optimizer=state)

    def due(self, state: OptimizerState, every: int) -> bool | Tensor:
        """See `Engine.due`: which trials, (P,); the counts live on the host, so that nothing waits for a device."""
        if not every:
            return False
        due = torch.as_tensor(state.step) % every == 0
        return due if bool(due.any()) else False

    def norm(self, grads: Params) -> Tensor:
        """See `Engine.norm`: (P,)."""
        norms = [torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads if grad.numel()]
        found: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        return found


def _unpadded(player: Player, grads: Params) -> Params:
    """The gradients, 0 where a tensor was padded."""
    if player.mask is None:
        return grads
    # Not a product: a gradient that is not a number stays out of the padding as well.
    return tuple(torch.where(mask, grad, 0.0) for grad, mask in zip(grads, player.mask, strict=True))
