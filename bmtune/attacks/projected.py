"""Projected gradient ascent. `B` rows, `N` features, `K` starts, after any axes of models attacked together."""

import torch
from jaxtyping import Float
from torch import Tensor

from bmtune.attacks.ball import Ball
from bmtune.attacks.slopes import RowLoss
from bmtune.attacks.slopes import row_slopes


def fgm(loss: RowLoss, ball: Ball, noise: Float[Tensor, "*lanes K B N"]) -> Float[Tensor, "*lanes K B N"]:
    """One step of the whole radius along the gradient (Goodfellow et al. 2015, arXiv 1412.6572).

    Args:
        loss: What is raised, for each row.
        ball: Where the rows may go.
        noise: Displacements of the points at which the gradient is taken; zeros for the rows themselves.
    """
    return pgd(loss, ball, noise, steps=1, relative_step=1.0)


def pgd(
    loss: RowLoss, ball: Ball, noise: Float[Tensor, "*lanes K B N"], *, steps: int, relative_step: float
) -> Float[Tensor, "*lanes K B N"]:
    """Projected gradient ascent (Madry et al. 2018, arXiv 1706.06083); every iterate is in ball and interval.

    Args:
        loss: What is raised, for each row.
        ball: Where the rows may go.
        noise: Displacements of the starts from the rows; what leaves the ball is projected into it.
        steps: Iterates.
        relative_step: Length of a step as a multiple of radius / steps.

    Returns:
        The last iterate of each start.
    """
    step = ball.radius * (relative_step / steps)
    found = []
    for displacement in noise.unbind(-3):
        x = ball.project(ball.centre + displacement)
        for _ in range(steps):
            _, slope = row_slopes(loss, x)
            x = ball.project(x + step * ball.ascent(slope))
        found.append(x)
    return torch.stack(found, -3)
