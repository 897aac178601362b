"""Auto-PGD, the strong check (Croce and Hein 2020, arXiv 2003.01690, algorithm 1).

Notation: `B` rows, `N` features, `K` starts, after any axes of models attacked together. Each row has its own step
size, halved at checkpoints where its loss stalls; the search then goes on from the best point so far. Rows are told
apart by masks only.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bmtune.attacks.ball import Ball
from bmtune.attacks.slopes import RowLoss
from bmtune.attacks.slopes import row_slopes

MOMENTUM = 0.75
"""Share of the gradient step in a move; the rest repeats the last move."""
ENOUGH = 0.75
"""Share of a period's moves that must raise the loss for the step size to stay."""


class _Point(NamedTuple):
    x: Tensor  # (..., B, N)
    loss: Tensor  # (..., B)
    slope: Tensor  # (..., B, N)


class _Period(NamedTuple):
    """What is remembered since the last checkpoint."""

    rises: Tensor  # (..., B) moves that raised the loss
    best_loss: Tensor  # (..., B) the best loss at the last checkpoint
    halved: Tensor  # (..., B) whether the step was halved there


def apgd(
    loss: RowLoss, ball: Ball, noise: Float[Tensor, "*lanes K B N"], *, steps: int
) -> Float[Tensor, "*lanes K B N"]:
    """The point of highest loss that each start visits.

    Args:
        loss: What is raised, for each row.
        ball: Where the rows may go.
        noise: Displacements of the starts from the rows; what leaves the ball is projected into it.
        steps: Gradient steps of each start.
    """
    starts = (ball.project(ball.centre + offset) for offset in noise.unbind(-3))
    return torch.stack([_from_start(loss, ball, start, steps) for start in starts], -3)


def checkpoints(steps: int) -> tuple[int, ...]:
    """The numbers of steps after which step sizes are reconsidered: ever shorter periods, the first one 22 %."""
    percents = [0, 22]
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 3, 6))
    # Whole numbers: 0.57 * 100 is not 57.
    return tuple(sorted({-(-percent * steps // 100) for percent in percents[1:] if percent <= 100}))


def _from_start(loss: RowLoss, ball: Ball, x: Tensor, steps: int) -> Tensor:
    now = best = _Point(x, *row_slopes(loss, x))
    previous = now.x
    step = (2 * ball.radius) * torch.ones_like(now.loss)[..., None]
    period = _start_period(best, torch.ones_like(now.loss, dtype=torch.bool))
    decisive, last = set(checkpoints(steps)), 0
    for number in range(1, steps + 1):
        moved = _move(ball, now, previous, step, momentum=MOMENTUM if number > 1 else 1.0)
        found = _Point(moved, *row_slopes(loss, moved))
        period = period._replace(rises=period.rises + (found.loss > now.loss))
        best = _choose(found.loss > best.loss, found, best)
        previous, now = now.x, found
        if number in decisive:
            stalls = _stalls(period, best, number - last)
            step, last = torch.where(stalls[..., None], step / 2, step), number
            now, period = _choose(stalls, best, now), _start_period(best, stalls)
    return best.x


def _move(ball: Ball, now: _Point, previous: Tensor, step: Tensor, *, momentum: float) -> Tensor:
    ahead = ball.project(now.x + step * ball.ascent(now.slope))
    return ball.project(now.x + momentum * (ahead - now.x) + (1 - momentum) * (now.x - previous))


def _start_period(best: _Point, halved: Tensor) -> _Period:
    return _Period(torch.zeros_like(best.loss), best.loss, halved)


def _stalls(period: _Period, best: _Point, length: int) -> Tensor:
    """Whether too few moves rose, or the best loss stood still over a period that began without halving."""
    seldom = period.rises < ENOUGH * length
    still = ~period.halved & (best.loss <= period.best_loss)
    return seldom | still


def _choose(mask: Tensor, one: _Point, other: _Point) -> _Point:
    wide = mask[..., None]
    return _Point(
        torch.where(wide, one.x, other.x),
        torch.where(mask, one.loss, other.loss),
        torch.where(wide, one.slope, other.slope),
    )
