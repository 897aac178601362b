"""Adam, AdamW and SGD over a leading axis of trials, each with rates of its own.

The formulas are those of `bmtune.training.optimizers`; a test holds the two together. `P` trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bmtune.config.optimizer import OptimizerConfig
from bmtune.training.optimizers import EPSILON
from bmtune.training.optimizers import OptimizerState
from bmtune.training.optimizers import like
from bmtune.training.optimizers import live
from bmtune.training.player import Params


@dataclass(frozen=True)
class Rates:
    """The constants of one kind of optimizer for every trial, (P,) float64 on the host.

    Attributes:
        kind: "adam", "adamw" or "sgd", the same for all.
        lr: Learning rates of the first step.
        lr_decay: How they fall.
        weight_decay: Weight decays; None where all are 0.
        beta1: Decay rates of the running means.
        beta2: Decay rates of the running squares.
    """

    kind: str
    lr: Tensor
    lr_decay: Tensor
    weight_decay: Tensor | None
    beta1: Tensor
    beta2: Tensor

    @classmethod
    def of(cls, configs: Sequence[OptimizerConfig]) -> "Rates":
        """The rates of trials that share a kind of optimizer."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64)

        decays = column([config.weight_decay for config in configs])
        return cls(
            configs[0].name,
            column([config.lr for config in configs]),
            column([config.lr_decay for config in configs]),
            decays if bool(decays.any()) else None,
            column([config.betas[0] for config in configs]),
            column([config.betas[1] for config in configs]),
        )


def update_lanes(rates: Rates, params: Params, grads: Params, state: OptimizerState) -> tuple[Params, OptimizerState]:
    """One update of every trial; see `bmtune.training.optimizers.update`."""
    done = torch.as_tensor(state.step)
    # A handful of numbers a trial: computed on the host in float64, sent to the device in one piece.
    lr = rates.lr / (1 + rates.lr_decay * done)
    real, slopes = live(params), live(grads)
    decay = None if rates.weight_decay is None else rates.weight_decay
    if rates.kind == "sgd":
        shrink = torch.zeros_like(lr) if decay is None else decay
        (step, pull) = _on(real[0], lr, shrink)
        if decay is not None:
            slopes = [slope + _wide(pull, old) * old for slope, old in zip(slopes, real, strict=True)]
        moved = [old - _wide(step, old) * slope for old, slope in zip(real, slopes, strict=True)]
        return like(params, moved), OptimizerState(done + 1, (), ())
    correction = (1 - rates.beta2 ** (done + 1)).sqrt()
    length = lr * correction / (1 - rates.beta1 ** (done + 1))
    pull = torch.zeros_like(lr) if decay is None else (decay if rates.kind == "adam" else 1 - lr * decay)
    columns = _on(real[0], length, EPSILON * correction, 1 - rates.beta1, 1 - rates.beta2, pull)
    first, second, moved = list[Tensor](), list[Tensor](), list[Tensor]()
    for old, slope, mean, square in zip(real, slopes, state.first, state.second, strict=True):
        step, floor, share1, share2, shrink = (_wide(column, old) for column in columns)
        if decay is not None and rates.kind == "adam":
            slope = torch.addcmul(slope, shrink, old)
        start = old * shrink if decay is not None and rates.kind == "adamw" else old
        mean = torch.lerp(mean, slope, share1)
        square = torch.lerp(square, slope.square(), share2)
        moved.append(torch.addcdiv(start, step * mean, square.sqrt().add_(floor), value=-1))
        first.append(mean)
        second.append(square)
    return like(params, moved), OptimizerState(done + 1, tuple(first), tuple(second))


def _on(target: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """The columns with the type of a tensor, and where it lives."""
    return torch.stack(columns).to(target.device, target.dtype, non_blocking=True).unbind(0)


def _wide(column: Tensor, like_tensor: Tensor) -> Tensor:
    """A column (P,) shaped so that it multiplies along the first axis of a tensor."""
    return column.view(-1, *(1,) * (like_tensor.ndim - 1))
