"""The slope of a loss in the rows, for each row on its own. `B` rows, `N` features, after any axes of models."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

RowLoss = Callable[[Tensor], Tensor]
"""A loss of rows (..., B, N) for each row, (..., B), in which no row depends on another."""


def row_slopes(
    loss: RowLoss, x: Float[Tensor, "*lanes B N"]
) -> tuple[Float[Tensor, "*lanes B"], Float[Tensor, "*lanes B N"]]:
    """The loss of each row and its gradient in that row, from one backward pass of the sum.

    Only x is differentiated, whether gradients are on or off outside. A loss that is not a number
    counts as -inf, so that it is never the worst, and a slope that is not one as 0: such a row stays where it is.
    """
    leaf = _leaf(x)
    if leaf is None:
        slope, values = torch.func.grad(lambda rows: _summed(loss, rows), has_aux=True)(x)
    else:
        with torch.enable_grad():
            total, values = _summed(loss, leaf)
            (slope,) = torch.autograd.grad(total, leaf)
    known = values.detach().nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    return known, slope.nan_to_num(nan=0.0)


def _leaf(x: Tensor) -> Tensor | None:
    """The rows as a leaf of autograd; None inside `torch.vmap`, which has no leaves.

    There `torch.func.grad` does the same at twice the time, which is why it is not used everywhere.
    """
    try:
        return x.detach().requires_grad_()
    except RuntimeError:
        return None


def _summed(loss: RowLoss, rows: Tensor) -> tuple[Tensor, Tensor]:
    values = loss(rows)
    return values.sum(), values
