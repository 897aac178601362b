"""Adam, AdamW and SGD over a leading axis of trials, each with rates of its own.

The formulas are those of `bmtune.training.optimizers`; a test holds the two together. `P` trials.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bmtune.config.optimizer import OptimizerConfig
from bmtune.training.optimizers import EPSILON
from bmtune.training.optimizers import OptimizerState
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
    """One update of every trial, in place: params and state are used up.

    See `bmtune.training.optimizers.update`. In large packs fresh memory would cost more than the arithmetic.
    """
    done = torch.as_tensor(state.step)
    # A handful of numbers a trial: computed on the host in float64, sent to the device in one piece.
    lr = rates.lr / (1 + rates.lr_decay * done)
    decay = torch.zeros_like(lr) if rates.weight_decay is None else rates.weight_decay
    real, slopes = live(params), live(grads)
    if rates.kind == "sgd":
        columns = _on(real[0], lr, decay)
        for old, slope in zip(real, slopes, strict=True):
            _each(_sgd, columns, (old, slope))
        return params, OptimizerState(done + 1, (), ())
    correction = (1 - rates.beta2 ** (done + 1)).sqrt()
    length = lr * correction / (1 - rates.beta1 ** (done + 1))
    pull = decay if rates.kind == "adam" else 1 - lr * decay
    columns = _on(real[0], length, EPSILON * correction, 1 - rates.beta1, 1 - rates.beta2, pull)
    decays = None if rates.weight_decay is None else rates.kind
    for tensors in zip(real, slopes, state.first, state.second, strict=True):
        _each(partial(_adam, decays), columns, tensors)
    return params, state._replace(step=done + 1)


def _sgd(columns: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    (length, pull), (old, slope) = columns, tensors
    old.sub_(length * torch.addcmul(slope, pull, old))


def _adam(decays: str | None, columns: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    length, floor, share1, share2, pull = columns
    old, slope, mean, square = tensors
    if decays == "adam":
        slope = torch.addcmul(slope, pull, old)
    elif decays == "adamw":
        old.mul_(pull)
    mean.lerp_(slope, share1)
    square.lerp_(slope.square(), share2)
    old.addcdiv_(length * mean, square.sqrt().add_(floor), value=-1)


CACHED_NUMBERS = 1 << 16
"""Numbers of each tensor that are updated at a time on a CPU, so that they stay in its cache from step to step."""


def _each(
    work: Callable[[Sequence[Tensor], Sequence[Tensor]], None], columns: Sequence[Tensor], tensors: Sequence[Tensor]
) -> None:
    """Calls `work` for some trials after others, with the columns shaped to multiply along the first axis."""
    first = tensors[0]
    wide = [column.view(-1, *(1,) * (first.ndim - 1)) for column in columns]
    lanes = len(first) if first.is_cuda else max(1, CACHED_NUMBERS * len(first) // first.numel())
    if lanes >= len(first):
        work(wide, tensors)
        return
    for part in zip(*(tensor.split(lanes) for tensor in (*wide, *tensors)), strict=True):
        work(part[: len(wide)], part[len(wide) :])


def _on(target: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """The columns with the type of a tensor, and where it lives."""
    return torch.stack(columns).to(target.device, target.dtype, non_blocking=True).unbind(0)
