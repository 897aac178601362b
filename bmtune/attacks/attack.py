"""The attack that a configuration describes.

Notation: `B` rows, `N` features, `K` starts, after any axes of models that are attacked together.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from bmtune.attacks.ball import ball_noise
from bmtune.attacks.ball import make_ball
from bmtune.attacks.projected import fgm
from bmtune.attacks.projected import pgd
from bmtune.attacks.slopes import RowLoss
from bmtune.config.adversarial import AttackConfig


def attack(
    config: AttackConfig,
    loss: RowLoss,
    x: Float[Tensor, "*lanes B N"],
    noise: Float[Tensor, "*lanes K B N"],
    *,
    radius: Tensor | float,
    interval: tuple[float, float],
) -> Float[Tensor, "*lanes B N"]:
    """The rows moved so that the loss of each is high: the worst of the attack's restarts.

    Args:
        config: Which attack.
        loss: What is raised, for each row; its parameters should need no gradient.
        x: Rows in the interval.
        noise: Displacements of the starts, in the units of the rows: `attack_noise` times the radius.
        radius: Radius of the ball in the units of the rows, a number or a tensor of shape () or (..., 1, 1). With 0 the
            result is x.
        interval: Lowest and highest value of a feature.
    """
    return worst(loss, attempts(config, loss, x, noise, radius=radius, interval=interval))


def attempts(
    config: AttackConfig,
    loss: RowLoss,
    x: Float[Tensor, "*lanes B N"],
    noise: Float[Tensor, "*lanes K B N"],
    *,
    radius: Tensor | float,
    interval: tuple[float, float],
) -> Float[Tensor, "*lanes K B N"]:
    """Where the attack arrives from each start; the arguments are those of `attack`."""
    ball = make_ball(config.norm, x, radius, interval)
    if config.name == "fgm":
        return fgm(loss, ball, noise)
    return pgd(loss, ball, noise, steps=config.steps, relative_step=config.relative_step)


def worst(loss: RowLoss, found: Float[Tensor, "*lanes K B N"]) -> Float[Tensor, "*lanes B N"]:
    """The point of highest loss for each row; one whose loss is not a number is the last to be taken."""
    if found.shape[-3] == 1:
        return found.squeeze(-3)
    with torch.no_grad():
        losses = torch.stack([loss(x) for x in found.unbind(-3)], -2)
    chosen = losses.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf")).argmax(-2)
    return found.take_along_dim(chosen[..., None, :, None], -3).squeeze(-3)


def attack_noise(
    config: AttackConfig, shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, "K B N"]:
    """Displacements of the starts for a radius of 1: uniform in the ball, or one of zeros where the attack starts at x.

    Args:
        config: Its restarts are `K`; an attack that always starts at x makes one attempt.
        shape: (B, N).
        generator: A CPU generator: every device gets the same numbers.
        dtype: Number type of the rows.
    """
    if config.name == "fgm" or not config.random_start:
        return torch.zeros((1, *shape), dtype=dtype)
    return ball_noise(config.norm, (config.restarts, *shape), generator, dtype)
