"""The class amplitudes with their derivative by hand: what training steps spend nearly all of their time in.

Notation: `*lanes` axes that are free (none, or one for trials that are trained together), `N` sites, `d` physical
dimension, `D` bond dimension, `C` classes, `B` rows.

The numbers are those of `bmtune.born.contraction.amplitudes` under automatic differentiation, and a test holds the two
together. By hand it is faster for three reasons: the Khatri-Rao products are made again on the way back, in memory that
is still in the cache, and not kept; no core is copied to stand beside that of the other half; and nothing is recorded.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor

from bmtune.born.contraction import RESCALE_EVERY
from bmtune.born.cores import Cores
from bmtune.born.logspace import largest

Pull = Callable[[Tensor], Cores]
"""The slope of a loss in the mantissa of the amplitudes, (*lanes, C, B) -> its slopes in the cores."""


def amplitudes_and_pull(
    cores: Cores, phi: Shaped[Tensor, "*lanes N d B"]
) -> tuple[Shaped[Tensor, "*lanes C B"], Tensor | float, Pull]:
    """The class amplitudes psi_c(x) = mantissa * exp(log-scale), and how slopes travel back to the cores.

    Slopes of complex tensors are those of torch: dL/dRe + i dL/dIm. The log-scale has none, since what is divided out
    of the mantissa is put back there. Call this without recording gradients. Cost O(N B d D^2).

    Args:
        cores: The cores, each with the axes of lanes in front.
        phi: Embedded rows in the order of contraction (`Chain.features`); real numbers, whatever their type.

    Returns:
        Mantissa; log-scale, (*lanes, 1, B) or 0; and the function from slopes to slopes, to be called at most once.
    """
    halves = _halves(cores, phi)
    mantissa, back = _joined(cores.centre, [half.running for half in halves])
    log_scale = sum(half.log_scale for half in halves)

    def pull(slope: Tensor) -> Cores:
        centre, onto = back(slope)
        edge, odd, bulk = _by_site(cores.edge, -3), _by_site(cores.odd, -4), _by_site(cores.bulk, -5, -4)
        for number, (half, own) in enumerate(zip(halves, onto, strict=True)):
            inner = [core.select(-4, number).flatten(-2) for core in bulk.unbind(-5)]
            first = [odd.select(-4, 0).flatten(-2)] if number == 0 and odd.shape[-4] else []
            own = half.pull(own, [*first, *inner])
            torch.matmul(own, phi[..., number, :, :].mT, out=edge.select(-3, number))
        return Cores(edge, odd, bulk, centre)

    return mantissa, log_scale, pull


def _by_site(core: Tensor, *axes: int) -> Tensor:
    """A tensor like `core` to be written site by site: each site's part, of all lanes, is one piece of memory.

    Torch multiplies the matrices of all lanes in one call only where the result is one piece, and else one after
    another, which for small bonds takes longer than the arithmetic.

    Args:
        core: Of which tensor.
        axes: Its axes that count sites, negative.
    """
    front = range(len(axes))
    shape = core.movedim(axes, tuple(front)).shape
    return core.new_empty(shape).movedim(tuple(front), axes)


class _Step(NamedTuple):
    """A site as it was passed: (D, d D) core, (d, 1, B) feature, (D, B) vector before it, what was divided out."""

    core: Tensor
    feature: Tensor
    before: Tensor
    divisor: Tensor | None


class _Half:
    """One half of the chain, contracted from its outer end towards the class core.

    Attributes:
        running: What has been contracted so far, (*lanes, D, B).
        log_scale: The log of what was divided out of it, (*lanes, 1, B) or 0.
    """

    def __init__(self, edge: Tensor, feature: Tensor) -> None:
        """The half before its inner sites."""
        self.running = edge @ feature
        self.log_scale: Tensor | float = 0.0
        self._steps: list[_Step] = []
        self._product: Tensor | None = None

    def advance(self, core: Tensor, feature: Tensor, *, rescales: bool) -> None:
        """Passes a site: `core` is (*lanes, D, d D), `feature` (*lanes, d, 1, B)."""
        before = self.running
        self.running = core @ self._khatri_rao(feature, before)
        divisor = None
        if rescales:
            divisor = largest(self.running, (-2,))
            self.running = self.running / divisor
            self.log_scale = self.log_scale + divisor.log()
        self._steps.append(_Step(core, feature, before, divisor))

    def pull(self, slope: Tensor, into: Sequence[Tensor]) -> Tensor:
        """Carries the slope in `running` back to what followed the edge.

        Args:
            slope: (*lanes, D, B).
            into: Where the slopes of the cores are written, (*lanes, D, d D) each, in the order of the sites.
        """
        product = None if self._product is None else torch.empty_like(self._product)
        for step, found in zip(reversed(self._steps), reversed(into), strict=True):
            assert product is not None, "a site that was passed left its product"
            if step.divisor is not None:
                slope = slope / step.divisor
            torch.matmul(slope, self._khatri_rao(step.feature, step.before).mH, out=found)
            torch.matmul(step.core.mH, slope, out=product.flatten(-3, -2))
            # Added up one by one: a product of all and a sum over it would pass twice through memory.
            first, *others = zip(product.unbind(-3), step.feature.unbind(-3), strict=True)
            slope = first[0] * first[1]
            for part, feature in others:
                slope.addcmul_(part, feature)
        return slope

    def _khatri_rao(self, feature: Tensor, vector: Tensor) -> Tensor:
        """The products of feature and vector, (*lanes, d D, B), in memory that the next call uses again."""
        if self._product is None:
            *lanes, bond_dim, num_rows = vector.shape
            # As torch would lay the product out after its factors, it need not be a matrix without being copied.
            self._product = vector.new_empty((*lanes, feature.shape[-3], bond_dim, num_rows))
        torch.mul(feature, vector.unsqueeze(-3), out=self._product)
        return self._product.flatten(-3, -2)


def _halves(cores: Cores, phi: Tensor) -> list[_Half]:
    """Both halves, or the only one, contracted as far as the class core."""
    num_edges, num_odd, num_steps = cores.edge.shape[-3], cores.odd.shape[-4], cores.bulk.shape[-5]
    halves = [_Half(cores.edge.select(-3, side), phi[..., side, :, :]) for side in range(num_edges)]
    if num_odd:
        halves[0].advance(cores.odd.select(-4, 0).flatten(-2), phi[..., num_edges, :, None, :], rescales=False)
    if not num_steps:
        return halves
    inner, log_size = _inner_features(cores.bulk, phi[..., num_edges + num_odd :, :, :])
    for step, (pair, features) in enumerate(zip(cores.bulk.unbind(-5), inner.unbind(-5), strict=True), start=1):
        far = step == num_steps and step % RESCALE_EVERY >= RESCALE_EVERY // 2
        for half, core, feature in zip(halves, pair.unbind(-4), features.unbind(-4), strict=True):
            half.advance(core.flatten(-2), feature, rescales=far or step % RESCALE_EVERY == 0)
    halves[0].log_scale = halves[0].log_scale + log_size
    return halves


def _inner_features(bulk: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
    """See `bmtune.born.contraction`: features (*lanes, steps, 2, d, 1, B), and the log of all sizes (*lanes, 1, 1)."""
    size = largest(bulk, (-3, -2, -1)).squeeze((-3, -2, -1))
    shaped = phi.reshape(*size.shape, phi.shape[-2], 1, phi.shape[-1])
    return shaped / size[..., None, None, None], size.log().sum((-2, -1))[..., None, None]


def _joined(
    centre: Tensor, vectors: Sequence[Tensor]
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, list[Tensor]]]]:
    """The halves joined at the class core, (*lanes, C, B), and how a slope in that travels back to core and halves."""
    if len(vectors) == 1:
        (only,), matrix = vectors, centre.squeeze(-1)
        return matrix @ only, lambda slope: ((slope @ only.mH).unsqueeze(-1), [matrix.mH @ slope])
    left, right = vectors
    matrix = centre.flatten(-3, -2)
    joined = (matrix @ right).unflatten(-2, (-1, left.shape[-2]))

    def back(slope: Tensor) -> tuple[Tensor, list[Tensor]]:
        first, *others = zip(joined.unbind(-3), slope.unsqueeze(-2).unbind(-3), strict=True)
        onto_left = first[0].conj() * first[1]
        for vector, own in others:
            onto_left.addcmul_(vector.conj(), own)
        spread = (slope.unsqueeze(-2) * left.unsqueeze(-3).conj()).flatten(-3, -2)
        onto_centre = (spread @ right.mH).view_as(centre)
        return onto_centre, [onto_left, matrix.mH @ spread]

    return (joined * left.unsqueeze(-3)).sum(-2), back
