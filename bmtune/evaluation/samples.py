"""Metrics of samples against real rows: `fid` and `outliers`, class by class, in unit-range coordinates.

Notation: `R` rows, `S` samples a class, `C` classes, `N` features.
"""

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
from bmtune.evaluation.frechet import frechet_distance
from bmtune.evaluation.outliers import outlier_flags

MAX_ELEMENTS = 2**22
"""Numbers that drawing one feature of a chunk of samples may hold."""


@torch.no_grad()
def draw_samples(chain: Chain, cores: Cores, config: EvaluationConfig, seed: int) -> Float[Tensor, "S C N"]:
    """`config.num_samples` rows of each class, in interval coordinates.

    The numbers that determine the rows come from a CPU generator, so that every device draws the
    same; samples pass in chunks that bound memory, which does not change them.
    """
    device = cores.edge.device
    generator = torch.Generator().manual_seed(seed)
    shape = (chain.num_sites, chain.num_classes, config.num_samples)
    uniforms = torch.rand(shape, generator=generator, dtype=chain.real_dtype).to(device)
    grid, gram = sampling_grid(chain, config.num_bins, device), chain.gram(device)
    width = 2 * config.num_bins + chain.physical_dim * (chain.physical_dim + 2 * cores.bond_dim)
    chunk = max(1, MAX_ELEMENTS // (chain.num_classes * width))
    return torch.cat([sample(cores, grid, gram, part) for part in torch.split(uniforms, chunk, dim=2)])


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
    real = _to_unit(x.to(drawn.device), interval)
    samples = _to_unit(drawn, interval)
    classes = _rows_by_class(real, y.to(drawn.device), samples.shape[1])
    pairs = list(zip(classes, samples.unbind(1), strict=True))
    fid = torch.stack([frechet_distance(rows, made) for rows, made in pairs]).mean().item()
    if not torch.isfinite(samples).all():
        return {"fid": fid, "outliers": float("nan")}
    flags = torch.cat([outlier_flags(rows, made, num_neighbours) for rows, made in pairs])
    return {"fid": fid, "outliers": flags.double().mean().item()}


def _to_unit(rows: Tensor, interval: tuple[float, float]) -> Tensor:
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
    return torch.split(rows[torch.argsort(y, stable=True)], counts)
