"""Gibbs resampling: each feature in turn is drawn anew from p(x_i | all others), with p(x) = sum_c p(x, c).

Notation: `N` sites, `d` physical dimension, `D` bond dimension, `C` classes, `B` rows, `M` bins.

With all other features fixed, every class amplitude is linear in phi(x_i): psi_c = v_c^T phi(x_i). So the
conditional density is phi^T rho phi with the d x d matrix rho = sum_c conj(v_c) v_c^T, and is drawn from as in
`bmtune.born.sampling`. The vectors v_c come from what lies left and right of the site, kept for each row: one pass
over the chain prepares them, the next draws and updates them. Cost O(N B (C d D^2 + M d^2)) a sweep.

What comes from the side without the class core is a vector (B, D), what comes from the side with it (B, C, D).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from jaxtyping import Shaped
from torch import Tensor

from bmtune.born.cores import Cores
from bmtune.born.logspace import rescale
from bmtune.born.sampling import Grid
from bmtune.born.sampling import invert
from bmtune.born.sampling import mass_below
from bmtune.born.sampling import total_mass

Bounds = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""(rows (B, N), site) -> lowest and highest value (B,) that the feature of that site may take."""


@torch.no_grad()
def resample(
    cores: Cores, grid: Grid, x: Float[Tensor, "B N"], uniforms: Float[Tensor, "N B"], bounds: Bounds | None = None
) -> Float[Tensor, "B N"]:
    """The rows after one sweep over all features, from the first to the last; p(x) stays what it is.

    A feature whose conditional density is 0 everywhere keeps its value.

    Args:
        cores: The cores.
        grid: The bins on which a conditional distribution is inverted.
        x: Rows in the embedding's interval.
        uniforms: Numbers in [0, 1), one a draw.
        bounds: Where features may go; then p(x) restricted to that set stays what it is.
    """
    left, right = _in_site_order(cores)
    rows = x.clone()
    features = grid.embedding.values(x.to(grid.edges.dtype).T, cores.edge.shape[-1], -1).to(cores.edge.dtype)
    ones = features.new_ones(x.shape[0], 1)
    behind = [ones]
    for core, phi in zip(reversed(right), reversed(features[len(left) :].unbind(0)), strict=True):
        behind.append(_absorb(core, behind[-1], phi))
    ahead = [_normal(torch.einsum("clr,br->bcl", cores.centre, behind.pop()))]
    for core, phi in zip(reversed(left[1:]), reversed(features[1 : len(left)].unbind(0)), strict=True):
        ahead.append(_absorb_classes(core, ahead[-1], phi))
    plain = ones
    for site, core in enumerate(left):
        phi = _draw(_open(core, plain, ahead.pop()), grid, rows, site, uniforms[site], bounds)
        plain = _absorb(core, plain, phi)
    classes = _normal(torch.einsum("clr,bl->bcr", cores.centre, plain))
    for site, core in enumerate(right, start=len(left)):
        phi = _draw(_open(core, behind.pop(), classes), grid, rows, site, uniforms[site], bounds)
        classes = _absorb_classes(core, classes, phi)
    return rows


def _in_site_order(cores: Cores) -> tuple[list[Tensor], list[Tensor]]:
    """The cores of the left half and of the right half, each (D towards the class core, d, D away from it)."""
    first, *last = (edge.unsqueeze(-1) for edge in cores.edge.unbind(0))
    left = [first, *cores.odd.unbind(0), *cores.bulk[:, 0].unbind(0)]
    right = [*cores.bulk[:, 1].flip(0).unbind(0), *last]
    return left, right


def _absorb(
    core: Shaped[Tensor, "E d D"], vector: Shaped[Tensor, "B D"], phi: Shaped[Tensor, "B d"]
) -> Shaped[Tensor, "B E"]:
    """A vector carried over a site, towards the class core."""
    # Khatri-Rao product, then one matrix product.
    pair = (phi.unsqueeze(2) * vector.unsqueeze(1)).flatten(1)
    return _normal(pair @ core.flatten(1).T)


def _absorb_classes(
    core: Shaped[Tensor, "E d D"], vector: Shaped[Tensor, "B C E"], phi: Shaped[Tensor, "B d"]
) -> Shaped[Tensor, "B C D"]:
    """A vector of every class carried over a site, away from the class core."""
    opened = (vector @ core.flatten(1)).unflatten(-1, core.shape[1:])
    return _normal((phi[:, None, None, :] @ opened).squeeze(-2))


def _open(
    core: Shaped[Tensor, "E d D"], plain: Shaped[Tensor, "B D"], classes: Shaped[Tensor, "B C E"]
) -> Shaped[Tensor, "B d C"]:
    """The vectors v_c of a site: what its feature's functions are weighted with in psi_c."""
    opened = (plain @ core.flatten(0, 1).T).unflatten(-1, core.shape[:2])
    vectors: Tensor = (classes @ opened).mT
    return vectors


def _normal(vector: Tensor) -> Tensor:
    """Each row's vector divided by its largest entry: only proportions matter."""
    return rescale(vector, tuple(range(1, vector.ndim)))[0]


def _draw(
    vectors: Shaped[Tensor, "B d C"],
    grid: Grid,
    rows: Float[Tensor, "B N"],
    site: int,
    uniforms: Float[Tensor, " B"],
    bounds: Bounds | None,
) -> Shaped[Tensor, "B d"]:
    """Puts a new value of the feature at `site` into `rows` and returns its functions."""
    scaled = _normal(vectors)
    density = (scaled @ scaled.mH).real.flatten(1)
    shares = uniforms.to(density.dtype)
    if bounds is not None:
        low, high = bounds(rows, site)
        start, stop = (mass_below(density, grid, end.to(density.dtype)) for end in (low, high))
        shares = start + shares * (stop - start)
    drawn = invert(density.unsqueeze(0), grid, shares.unsqueeze(0)).squeeze(0).to(rows.dtype)
    if bounds is not None:
        drawn = torch.minimum(torch.maximum(drawn, low), high)
    possible = total_mass(density, grid) > 0
    rows[:, site] = torch.where(possible, drawn, rows[:, site])
    return grid.embedding.values(rows[:, site].to(grid.edges.dtype), vectors.shape[1], -1).to(vectors.dtype)
