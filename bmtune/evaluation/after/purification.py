"""Purification: attacked rows are moved to where p(x) is higher before they are classified.

Notation: `B` rows, `N` features.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from bmtune.attacks import Ball
from bmtune.attacks import apgd
from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import sampling_grid
from bmtune.born.gibbs import Bounds
from bmtune.born.gibbs import resample
from bmtune.evaluation.after.results import Result
from bmtune.evaluation.after.scores import contracted
from bmtune.evaluation.after.scores import log_density
from bmtune.evaluation.after.scores import row_chunks


class PurificationResult(Result):
    """Accuracy before and after purification."""

    method: str
    """`ascent` of log p(x) in the ball, `gibbs` resampling of all features, or `gibbs_in_ball`."""
    strength: float
    """Radius of the attack and of the ball, as a fraction of the interval's length; 0 for clean rows."""
    radius: float
    """Radius of the ball in which rows were purified, as such a fraction."""
    accuracy_before: float
    accuracy_after: float
    log_density_before: float
    """Mean of log p(x), in nats."""
    log_density_after: float


def ascend(chain: Chain, cores: Cores, ball: Ball, *, steps: int) -> Float[Tensor, "B N"]:
    """The rows moved to where log p(x) is highest on the way of a projected ascent that starts at them.

    No row ends where its log p(x) is lower than it was; all stay in the ball. Steps as in auto-PGD, which keeps the
    best point of each row (Croce and Hein 2020, arXiv 2003.01690).

    Args:
        chain: Embedding and shape.
        cores: The cores.
        ball: Where the rows, its centre, may go.
        steps: Gradient steps.
    """
    fixed = Cores(*(core.detach() for core in cores))
    found = []
    for part in row_chunks(chain, len(ball.centre), kept=contracted(chain, fixed)):
        place = ball._replace(centre=ball.centre[part], low=ball.low[part], high=ball.high[part])
        start = torch.zeros_like(place.centre)[None]
        found.append(apgd(lambda x: log_density(chain, fixed, x), place, start, steps=steps)[0])
    return torch.cat(found)


def resample_rows(
    chain: Chain, cores: Cores, x: Float[Tensor, "B N"], *, num_bins: int, seed: int, ball: Ball | None = None
) -> Float[Tensor, "B N"]:
    """The rows after one sweep of Gibbs resampling: each feature drawn anew given all others.

    Args:
        chain: Embedding and shape.
        cores: The cores.
        x: Rows in the interval.
        num_bins: Bins of the grid on which features are drawn.
        seed: Determines the draws.
        ball: Where the rows may go; with None anywhere in the interval.
    """
    grid = sampling_grid(chain, num_bins, x.device)
    shape = (chain.num_sites, len(x))
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=chain.real_dtype).to(x.device)
    found = []
    for part in row_chunks(chain, len(x), kept=chain.physical_dim + cores.bond_dim * chain.num_classes):
        bounds = None if ball is None else _bounds(ball, part)
        found.append(resample(cores, grid, x[part], drawn[:, part], bounds))
    return torch.cat(found)


def _bounds(ball: Ball, part: slice) -> Bounds:
    """What the ball leaves to one feature while the others stay."""
    centre, low, high = ball.centre[part], ball.low[part], ball.high[part]

    def at(rows: Tensor, site: int) -> tuple[Tensor, Tensor]:
        bottom, top = low[:, site], high[:, site]
        if ball.norm == "linf":
            return bottom, top
        offset = (rows - centre).square()
        others = offset.sum(1) - offset[:, site]
        reach = (ball.radius**2 - others).clamp_min(0).sqrt()
        return torch.maximum(bottom, centre[:, site] - reach), torch.minimum(top, centre[:, site] + reach)

    return at
