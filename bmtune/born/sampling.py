"""Exact ancestral sampling, x ~ p(x|c), differentiable in the cores.

Notation: `N` sites, `d` physical dimension, `D` bond dimension, `C` classes, `S` samples a class,
`M` bins.

Right environments are traced once; a left vector per sample is carried from the first site to the
last; at each site the conditional density is phi^T rho phi with the d x d reduced density matrix
rho (Ferris and Vidal 2012, arXiv 1201.3974; Han et al. 2018, PRX 8, 031012). Cost
O(N C S (d D^2 + d^2 D + M d^2)).

The conditional distribution function is exact at the edges of the bins, because the integrals of phi
phi^T over the bins are; inside a bin the density is taken to be linear between its exact values at the
two edges. The search for a sample's bin has no gradient; its place inside the bin has.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from jaxtyping import Shaped
from torch import Tensor

from bmtune.born.contraction import close_right
from bmtune.born.contraction import half_environments
from bmtune.born.contraction import push
from bmtune.born.cores import Chain
from bmtune.born.cores import Cores
from bmtune.born.embeddings import Embedding
from bmtune.born.embeddings import bin_edges
from bmtune.born.embeddings import bin_grams
from bmtune.born.logspace import rescale

RANK_TOLERANCE = 1e-11
"""Relative size below which a direction of the products phi_p phi_q is rounding."""


@dataclass(frozen=True)
class Grid:
    """The bins on which a feature's conditional distribution is inverted.

    A density phi^T rho phi is a combination of the products phi_p phi_q, which span few functions: at most 2 d of
    them for all embeddings here. `fold` turns the d^2 entries of rho into coefficients of `R` such functions.

    Attributes:
        embedding: The functions phi.
        edges: (M + 1,) edges of the bins.
        fold: (d * d, R) from entries of rho to coefficients.
        cumulative: (R, M + 1) integrals of the functions up to each edge.
        bins: (M, 4, R) of each bin: integrals up to it and over it, values at its lower and upper edge.
    """

    embedding: Embedding
    edges: Tensor
    fold: Tensor
    cumulative: Tensor
    bins: Tensor

    def __hash__(self) -> int:
        """Grids are cached by `sampling_grid`; each is itself."""
        return id(self)


@lru_cache(maxsize=16)
def sampling_grid(chain: Chain, num_bins: int, device: torch.device) -> Grid:
    """The grid of `num_bins` equal bins over the interval, in the chain's real number type."""
    embedding, d = chain.embedding, chain.physical_dim
    edges = bin_edges(embedding, num_bins)
    masses = bin_grams(embedding, d, num_bins).flatten(1)
    phi = embedding.values(edges, d, -1)
    products = (phi[:, :, None] * phi[:, None, :]).flatten(1)
    fold = _folded(torch.cat((masses / masses.abs().amax(), products / products.abs().amax())))
    masses, products = masses @ fold, products @ fold
    cumulative = torch.cat((torch.zeros_like(masses[:1]), masses.cumsum(0)))
    bins = torch.stack((cumulative[:-1], masses, products[:-1], products[1:]), 1)
    edges, fold, cumulative, bins = (
        tensor.to(device, chain.real_dtype).contiguous() for tensor in (edges, fold, cumulative.T, bins)
    )
    return Grid(embedding, edges, fold, cumulative, bins)


def _folded(rows: Tensor) -> Tensor:
    """(d * d, R) orthonormal basis of what the rows span, to rounding: rows @ fold @ fold^T = rows."""
    _, sizes, basis = torch.linalg.svd(rows, full_matrices=False)
    rank = int((sizes > sizes[0] * RANK_TOLERANCE).sum())
    fold: Tensor = basis[:rank].T
    return fold


def sample(cores: Cores, grid: Grid, gram: Tensor | None, uniforms: Float[Tensor, "N C S"]) -> Float[Tensor, "S C N"]:
    """Rows drawn from p(x|c), `S` for every class.

    Args:
        cores: The cores.
        grid: The bins.
        gram: (d, d) Gram matrix of the embedding, or None for the identity.
        uniforms: Numbers in [0, 1) that determine the rows, one a feature, in the order of sites.
    """
    halves, _ = half_environments(cores, gram)
    above = _left_environments(cores, close_right(cores, halves[-1]), gram)
    below = [environment[1] for environment in halves] if cores.edge.shape[0] == 2 else []
    draws = iter(uniforms.unbind(0))
    drawn: list[Tensor] = []

    def visit(vectors: Tensor, environment: Tensor) -> Tensor:
        feature, running = _draw(vectors, environment, grid, next(draws))
        drawn.append(feature)
        return running

    num_classes, num_samples = uniforms.shape[1:]
    first = cores.edge[0].T.expand(num_classes, num_samples, -1, -1)
    running = visit(first, above.pop())
    for core in (*cores.odd.unbind(0), *cores.bulk.select(1, 0).unbind(0)):
        running = visit(_outward(running, core.permute(2, 1, 0)), above.pop())
    if below:
        running = running @ cores.centre
        below.pop()
        for core in reversed(cores.bulk.select(1, 1).unbind(0)):
            running = visit(_outward(running, core), below.pop())
        last = (running @ cores.edge[1]).unsqueeze(-1)
        visit(last, running.new_ones(1, 1))
    return torch.stack(drawn).permute(2, 1, 0)


def _left_environments(cores: Cores, top: Tensor, gram: Tensor | None) -> list[Tensor]:
    """What each site of the left half sees towards the class core, from the innermost site to the first."""
    found = [rescale(top, (1, 2))[0]]
    for core in (*reversed(cores.bulk.select(1, 0).unbind(0)), *cores.odd.unbind(0)):
        found.append(rescale(push(core, found[-1], gram), (1, 2))[0])
    return found


def _outward(running: Shaped[Tensor, "C S D"], core: Shaped[Tensor, "D d D"]) -> Shaped[Tensor, "C S d D"]:
    """Carries the left vectors over one core whose first bond they end at."""
    bond_dim, physical_dim = core.shape[0], core.shape[1]
    carried: Tensor = (running @ core.reshape(bond_dim, -1)).unflatten(-1, (physical_dim, -1))
    return carried


def _draw(
    vectors: Shaped[Tensor, "C S d D"], environment: Tensor, grid: Grid, uniforms: Float[Tensor, "C S"]
) -> tuple[Float[Tensor, "C S"], Shaped[Tensor, "C S D"]]:
    """Draws one feature and returns it with the left vectors that include it."""
    # The density goes with their square: cores of any scale would leave the range of float32.
    vectors, _ = rescale(vectors, (-2, -1))
    seen = vectors @ (environment if environment.ndim == 2 else environment.unsqueeze(1))
    density = (seen @ vectors.mH).real.flatten(-2)
    feature = invert(density, grid, uniforms)
    phi = grid.embedding.values(feature, vectors.shape[-2], -1).to(vectors.dtype)
    return feature, (phi.unsqueeze(-2) @ vectors).squeeze(-2)


def invert(density: Float[Tensor, "C S dd"], grid: Grid, uniforms: Float[Tensor, "C S"]) -> Float[Tensor, "C S"]:
    """The quantile at `uniforms` of the distribution with density phi^T rho phi."""
    coefficients = density @ grid.fold
    with torch.no_grad():
        cumulative = coefficients @ grid.cumulative
        target = uniforms * cumulative[..., -1]
        found = torch.searchsorted(cumulative, target.unsqueeze(-1), right=True).squeeze(-1) - 1
        found = found.clamp(0, len(grid.bins) - 1)
    below, mass, low, high = (grid.bins[found] * coefficients.unsqueeze(-2)).sum(-1).unbind(-1)
    total = coefficients @ grid.cumulative[:, -1]
    share = ((uniforms * total - below) / mass).clamp(0, 1)
    width = grid.edges[1] - grid.edges[0]
    return grid.edges[found] + width * _quantile_of_line(share, low.clamp_min(0), high.clamp_min(0))


def total_mass(density: Float[Tensor, "*rows dd"], grid: Grid) -> Float[Tensor, "*rows"]:
    """The integral of the density phi^T rho phi over the interval."""
    mass: Tensor = density @ grid.fold @ grid.cumulative[:, -1]
    return mass


def mass_below(density: Float[Tensor, "B dd"], grid: Grid, end: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The share of a density's mass below a value: the inverse of how it is drawn from."""
    coefficients = density @ grid.fold
    width = grid.edges[1] - grid.edges[0]
    place = ((end - grid.edges[0]) / width).clamp(0, len(grid.bins))
    found = place.long().clamp_max(len(grid.bins) - 1)
    before, mass, low, high = (grid.bins[found] * coefficients.unsqueeze(-2)).sum(-1).unbind(-1)
    low, high, inside = low.clamp_min(0), high.clamp_min(0), place - found
    part = inside * (2 * low + (high - low) * inside) / (low + high).clamp_min(torch.finfo(low.dtype).tiny)
    return ((before + mass * part) / (coefficients @ grid.cumulative[:, -1])).clamp(0, 1)


def _quantile_of_line(share: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where in [0, 1] a density that is linear from `low` to `high` has left `share` of its mass behind.

    The root of low t + (high - low) t^2 / 2 = share (low + high) / 2, in the form that does not cancel.
    """
    # A bin whose density vanishes at both edges is drawn with probability 0 but for rounding.
    floor = torch.finfo(low.dtype).tiny
    middle = torch.sqrt((1 - share) * low.square() + share * high.square() + floor)
    return share * (low + high + floor) / (low + middle + floor)
