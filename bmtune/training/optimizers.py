"""Adam, AdamW and SGD as pure functions: (params, grads, state) to (params, state).

They agree with `torch.optim` (a test holds it); complex tensors are treated as pairs of reals, as there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bmtune.config.optimizer import OptimizerConfig

EPSILON = 1e-8
"""Keeps Adam's division finite; torch's default."""


class OptimizerState(NamedTuple):
    """What an optimizer remembers.

    Attributes:
        step: Updates done; in a pack those of each trial, on the host.
        first: Running means of the gradients, one a parameter that holds numbers; none for sgd.
        second: Running means of their squares; none for sgd.
    """

    step: int | Tensor
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]


def start_optimizer(config: OptimizerConfig, params: Sequence[Tensor]) -> OptimizerState:
    """The state before the first update."""
    if config.name == "sgd":
        return OptimizerState(0, (), ())
    zeros = [torch.zeros_like(param) for param in live(params)]
    return OptimizerState(0, tuple(zeros), tuple(zero.clone() for zero in zeros))


def update(
    config: OptimizerConfig, params: Sequence[Tensor], grads: Sequence[Tensor], state: OptimizerState
) -> tuple[tuple[Tensor, ...], OptimizerState]:
    """One update. The arguments are left as they were.

    Kingma and Ba 2015 (arXiv 1412.6980) for adam, Loshchilov and Hutter 2019 (arXiv 1711.05101) for adamw.
    """
    done = int(state.step)
    lr = config.lr / (1 + config.lr_decay * done)
    real, slopes = live(params), live(grads)
    if config.weight_decay and config.name != "adamw":
        slopes = list(torch._foreach_add(slopes, real, alpha=config.weight_decay))
    if config.name == "sgd":
        moved = torch._foreach_add(real, slopes, alpha=-lr)
        return like(params, moved), OptimizerState(done + 1, (), ())
    if config.weight_decay and config.name == "adamw":
        real = list(torch._foreach_mul(real, 1 - lr * config.weight_decay))
    step, (beta1, beta2) = done + 1, config.betas
    first = torch._foreach_lerp(state.first, slopes, 1 - beta1)
    second = torch._foreach_mul(state.second, beta2)
    torch._foreach_addcmul_(second, slopes, slopes, 1 - beta2)
    # Both bias corrections are folded into the step: sqrt(v / (1 - b2^t)) + eps = (sqrt(v) + eps c) / c.
    correction = (1 - beta2**step) ** 0.5
    divisor = torch._foreach_sqrt(second)
    torch._foreach_add_(divisor, EPSILON * correction)
    moved = torch._foreach_addcdiv(real, first, divisor, -lr * correction / (1 - beta1**step))
    return like(params, moved), OptimizerState(step, tuple(first), tuple(second))


def live(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that hold numbers (a chain without odd core has an empty one), complex ones as pairs of reals."""
    live = [tensor for tensor in tensors if tensor.numel()]
    # Autograd may leave a gradient's conjugation to whoever reads it.
    return [torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor for tensor in live]


def like(originals: Sequence[Tensor], moved: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The inverse of `live`: empty tensors stay as they were."""
    remaining = iter(moved)
    return tuple(_as(old, next(remaining)) if old.numel() else old for old in originals)


def _as(original: Tensor, moved: Tensor) -> Tensor:
    return torch.view_as_complex(moved) if original.is_complex() else moved
