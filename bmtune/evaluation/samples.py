"""Metrics of samples against real rows: `fid` and `outliers`, class by class, in unit-range coordinates.

Notation: `R` rows, `S` samples a class, `C` classes, `N` features, `P` models that are measured together.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from jaxtyping import Float64
from jaxtyping import Int64
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import sample
from bmtune.born import sampling_grid
from bmtune.config.root import EvaluationConfig
from bmtune.errors import DataError
from bmtune.evaluation.frechet import Moments
from bmtune.evaluation.frechet import frechet_between
from bmtune.evaluation.frechet import moments
from bmtune.evaluation.models import for_each
from bmtune.evaluation.models import lanes_of
from bmtune.evaluation.outliers import distances_to
from bmtune.evaluation.outliers import farthest_neighbours

SAMPLED = ("fid", "outliers")
"""The metrics of samples."""
MAX_ELEMENTS = 2**22
"""Numbers that drawing one feature of a chunk of samples may hold."""


class RealRows:
    """The real rows of every class, in unit-range coordinates, and what metrics need of them and of no model.

    What is needed is found once, when it is first asked for.

    Args:
        x: The rows, in interval coordinates.
        y: Their labels.
        num_classes: Classes.
        interval: What the unit range is mapped from.
        device: Where they are compared with samples.

    Raises:
        DataError: A class has fewer than 2 rows.
    """

    def __init__(
        self,
        x: Float[Tensor, "R N"],
        y: Int64[Tensor, " R"],
        num_classes: int,
        interval: tuple[float, float],
        device: torch.device,
    ) -> None:
        self.interval = interval
        unit = to_unit(x, interval).to(device)
        self._classes = _rows_by_class(unit, y, num_classes)
        self._farthest: dict[int, Tensor] = {}

    @cached_property
    def moments(self) -> Moments:
        """The moments of all classes, stacked."""
        found = [moments(rows) for rows in self._classes]
        return Moments(*(torch.stack(part) for part in zip(*found, strict=True)))

    def outlier_shares(self, drawn: Float64[Tensor, "*lanes S C N"], num_neighbours: int) -> Float64[Tensor, "*lanes"]:
        """The share of outliers (`bmtune.evaluation.outliers`) among samples of all classes, all of them finite."""
        if num_neighbours not in self._farthest:
            found = [farthest_neighbours(rows, num_neighbours) for rows in self._classes]
            self._farthest[num_neighbours] = torch.stack(found)
        distances = torch.stack(
            [
                distances_to(rows, made.flatten(0, -2), num_neighbours).view(made.shape[:-1])
                for rows, made in zip(self._classes, drawn.unbind(-2), strict=True)
            ],
            -1,
        )
        return (distances > self._farthest[num_neighbours]).double().mean((-2, -1))


@torch.no_grad()
def draw_samples(
    chain: Chain, cores: Cores, config: EvaluationConfig, seed: int | Sequence[int]
) -> Float[Tensor, "*lanes S C N"]:
    """`config.num_samples` rows of each class, in interval coordinates.

    The numbers that determine the rows come from a CPU generator, so that every device draws the
    same; samples pass in chunks that bound memory, which does not change them.

    Args:
        chain: Embedding and shape.
        cores: The cores of one model, or of several with an axis of lanes in front.
        config: How many are drawn, and on which bins.
        seed: Determines the samples; one for each lane if there are lanes.
    """
    device, lanes = cores.edge.device, lanes_of(cores)
    shape = (chain.num_sites, chain.num_classes, config.num_samples)
    uniforms = torch.stack(
        [
            torch.rand(shape, generator=torch.Generator().manual_seed(number), dtype=chain.real_dtype)
            for number in ([seed] if isinstance(seed, int) else seed)
        ]
    ).view(*lanes, *shape)
    grid, gram = sampling_grid(chain, config.num_bins, device), chain.gram(device)
    width = 2 * config.num_bins + chain.physical_dim * (chain.physical_dim + 2 * cores.edge.shape[-2])
    chunk = max(1, MAX_ELEMENTS // (math.prod(lanes) * chain.num_classes * width))
    draw = for_each(cores, lambda own, numbers: sample(own, grid, gram, numbers))
    parts = torch.split(uniforms.to(device), chunk, dim=-1)
    return torch.cat([draw(cores, part) for part in parts], dim=-3)


def sample_metrics(
    x: Float[Tensor, "R N"],
    y: Int64[Tensor, " R"],
    drawn: Float[Tensor, "S C N"],
    interval: tuple[float, float],
    num_neighbours: int,
) -> dict[str, float]:
    """`fid` (squared unit range, mean over classes) and `outliers` (share of all samples).

    Args:
        x: Real rows, in interval coordinates.
        y: Their labels.
        drawn: Samples of every class, in interval coordinates, on any device.
        interval: What the unit range is mapped from.
        num_neighbours: Real rows that decide whether a sample is an outlier.

    Raises:
        DataError: A class has fewer than 2 real rows.
    """
    real = RealRows(x, y, drawn.shape[1], interval, drawn.device)
    return dict(zip(SAMPLED, sample_values(SAMPLED, real, drawn, num_neighbours).tolist(), strict=True))


def sample_values(
    names: Sequence[str], real: RealRows, drawn: Float[Tensor, "*lanes S C N"], num_neighbours: int
) -> Float64[Tensor, "*lanes names"]:
    """The metrics of `SAMPLED` that are asked for, on the device; not a number where a sample is not finite."""
    samples = to_unit(drawn, real.interval)
    found = []
    for name in names:
        if name == "fid":
            found.append(frechet_between(real.moments, moments(samples.transpose(-3, -2))).mean(-1))
        else:
            finite = torch.isfinite(samples).flatten(-3).all(-1)
            # Neighbours are not looked for from places that are none.
            placed = torch.where(finite[..., None, None, None], samples, 0.0)
            shares = real.outlier_shares(placed, num_neighbours)
            found.append(torch.where(finite, shares, torch.nan))
    return torch.stack(found, -1)


def to_unit(rows: Float[Tensor, "*lanes N"], interval: tuple[float, float]) -> Float64[Tensor, "*lanes N"]:
    """Rows of an interval in unit-range coordinates."""
    low, high = interval
    return (rows.double() - low) / (high - low)


def _rows_by_class(
    rows: Float64[Tensor, "R N"], y: Int64[Tensor, " R"], num_classes: int
) -> tuple[Float64[Tensor, "rows N"], ...]:
    counts = torch.bincount(y, minlength=num_classes).tolist()
    rarest = min(range(num_classes), key=lambda label: counts[label])
    if counts[rarest] < 2:
        raise DataError(
            f"fid and outliers need at least 2 rows of each class in the split that is measured, but class number "
            f"{rarest} has {counts[rarest]}; raise data.valid_fraction or data.test_fraction, or measure acc, loss "
            "and genloss only"
        )
    return torch.split(rows[torch.argsort(y, stable=True).to(rows.device)], counts)
