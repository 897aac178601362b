"""Scores of rows, and how well a score tells two groups of rows apart. `R` rows, `C` classes, `N` features."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from jaxtyping import Float64
from jaxtyping import Int64
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import log_partitions
from bmtune.born import log_weights

MAX_ELEMENTS = 2**23
"""Numbers that a chunk of rows may keep."""


def row_chunks(chain: Chain, num_rows: int, *, kept: int) -> Iterator[slice]:
    """Slices of rows that fit in memory together, if a row keeps `kept` numbers a site."""
    step = max(1, MAX_ELEMENTS // (chain.num_sites * kept))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def contracted(chain: Chain, cores: Cores) -> int:
    """Numbers a site that contracting a row keeps for its gradient."""
    return chain.physical_dim * (1 + cores.bond_dim)


def log_density(chain: Chain, cores: Cores, x: Float[Tensor, "R N"]) -> Float[Tensor, " R"]:
    """log p(x) of each row in nats, in the real number type of the cores; differentiable in x."""
    log_partition = log_partitions(cores, chain.gram(cores.edge.device)).logsumexp(0)
    return log_weights(cores, chain.features(x)).logsumexp(0) - log_partition


@torch.no_grad()
def all_log_weights(chain: Chain, cores: Cores, x: Float[Tensor, "R N"]) -> Float64[Tensor, "C R"]:
    """log u(x, c) of every class and row, chunk by chunk."""
    parts = [log_weights(cores, chain.features(x[part])) for part in _contracted_chunks(chain, cores, x)]
    return torch.cat(parts, 1).double()


@torch.no_grad()
def log_densities(chain: Chain, cores: Cores, x: Float[Tensor, "R N"]) -> Float64[Tensor, " R"]:
    """log p(x) of each row in nats, chunk by chunk."""
    return torch.cat([log_density(chain, cores, x[part]) for part in _contracted_chunks(chain, cores, x)]).double()


def _contracted_chunks(chain: Chain, cores: Cores, x: Tensor) -> Iterator[slice]:
    return row_chunks(chain, len(x), kept=contracted(chain, cores))


def accuracy(chain: Chain, cores: Cores, x: Float[Tensor, "R N"], y: Int64[Tensor, " R"]) -> float:
    """The share of rows whose most probable class is theirs; a row without class probabilities counts as wrong."""
    weights = all_log_weights(chain, cores, x)
    right = (weights.argmax(0) == y) & weights.logsumexp(0).isfinite()
    return right.double().mean().item()


def auroc(higher: Float64[Tensor, " R"], lower: Float64[Tensor, " S"]) -> float:
    """The area under the receiver operating characteristic: the chance that a score of `higher` exceeds one of `lower`.

    Ties count one half (the statistic of Mann and Whitney 1947). NaN where a score is NaN.
    """
    if bool(higher.isnan().any() | lower.isnan().any()):
        return float("nan")
    ordered = lower.sort().values
    below = torch.searchsorted(ordered, higher.contiguous(), right=False)
    at_most = torch.searchsorted(ordered, higher.contiguous(), right=True)
    return ((below + at_most).double() / 2).mean().item() / len(lower)
