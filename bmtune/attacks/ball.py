"""The set in which an attack may move each row: a ball around it, cut off at the interval.

Notation: `B` rows, `N` features, `K` starts of an attack. Any axes may come before these, such as one of models that
are attacked together, each with rows and a radius of its own: axes are counted from the last.
"""

from typing import Literal
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Norm = Literal["l2", "linf"]


class Ball(NamedTuple):
    """The ball of one radius around every row.

    Attributes:
        norm: The norm in which the radius is measured, over the features of a row.
        centre: (..., B, N) rows.
        radius: In the units of the rows; a number, or a tensor of shape () or (..., 1, 1).
        low: (..., B, N) lowest values allowed.
        high: (..., B, N) highest values allowed.
    """

    norm: Norm
    centre: Tensor
    radius: Tensor | float
    low: Tensor
    high: Tensor

    def project(self, moved: Float[Tensor, "*lanes B N"]) -> Float[Tensor, "*lanes B N"]:
        """The rows moved back into the ball, then clipped to the interval, which brings no row farther away."""
        if self.norm == "l2":
            offset = moved - self.centre
            length = offset.square().sum(-1, keepdim=True).sqrt()
            # With radius 0 the unused branch may be 0 / 0.
            moved = self.centre + offset * torch.where(length > self.radius, self.radius / length, 1.0)
        return torch.minimum(torch.maximum(moved, self.low), self.high)

    def ascent(self, slope: Float[Tensor, "*lanes B N"]) -> Float[Tensor, "*lanes B N"]:
        """The unit step of this norm along which the loss grows fastest; 0 where the slope is 0."""
        if self.norm == "linf":
            return slope.sign()
        # Divided by its largest entry first: the square of a slope of 1e-30 is 0 in float32.
        largest = slope.abs().amax(-1, keepdim=True)
        scaled = slope / largest.masked_fill(largest == 0, 1.0)
        return scaled / scaled.square().sum(-1, keepdim=True).sqrt().clamp_min(1.0)


def make_ball(
    norm: Norm, x: Float[Tensor, "*lanes B N"], radius: Tensor | float, interval: tuple[float, float]
) -> Ball:
    """The ball around rows x.

    A row that itself lies outside the interval may stay there: a ball of radius 0 holds the row and nothing else.
    """
    # Either ball lies in the box x +- radius: for linf it is that box, and for l2 the box cuts off rounding.
    low = torch.minimum((x - radius).clamp_min(interval[0]), x)
    high = torch.maximum((x + radius).clamp_max(interval[1]), x)
    return Ball(norm, x, radius, low, high)


def perturbation_radius(epsilon: float, interval: tuple[float, float]) -> float:
    """The radius in the units of the rows: `epsilon` is a fraction of the interval's length."""
    return epsilon * (interval[1] - interval[0])


def ball_noise(
    norm: Norm, shape: tuple[int, int, int], generator: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, "K B N"]:
    """Points that are uniform in the ball of radius 1, each on its own, from a CPU generator.

    For l2 a Gaussian direction times u^(1/N): the share of the ball's volume within a radius is its N-th power.
    """
    if norm == "linf":
        return 2 * torch.rand(shape, generator=generator, dtype=dtype) - 1
    direction = torch.randn(shape, generator=generator, dtype=dtype)
    share = torch.rand((*shape[:2], 1), generator=generator, dtype=dtype)
    length = direction.square().sum(-1, keepdim=True).sqrt()
    return direction / length.masked_fill(length == 0, 1.0) * share ** (1 / shape[2])
