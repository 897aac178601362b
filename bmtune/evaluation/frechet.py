"""The Frechet distance between two sets of rows, from their means and covariances.

Notation: `R` and `S` rows, `N` features. Any axes may come before these, such as one of classes and one of models:
they broadcast, and there is one distance for each place on them.

References:
    Dowson and Landau 1982, "The Frechet distance between multivariate normal distributions".
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor


class Moments(NamedTuple):
    """What the distance needs of a set of rows. Where one of them is not finite, the mean is not a number."""

    mean: Tensor  # (..., N)
    factor: Tensor  # (..., N, N): F with F F^T the covariance
    spread: Tensor  # (...): trace of the covariance


def frechet_distance(
    real: Float64[Tensor, "*sets R N"], drawn: Float64[Tensor, "*others S N"]
) -> Float64[Tensor, "*all"]:
    """|mean - mean'|^2 + tr(A + B - 2 (A B)^(1/2)) of the two sets' moments, in squared units of the rows.

    Covariances are unbiased; each set needs at least 2 rows. Not a number where a row is not finite.
    """
    return frechet_between(moments(real), moments(drawn))


def frechet_from_moments(
    mean: Float64[Tensor, "*sets N"],
    covariance: Float64[Tensor, "*sets N N"],
    other_mean: Float64[Tensor, "*others N"],
    other_covariance: Float64[Tensor, "*others N N"],
) -> Float64[Tensor, "*all"]:
    """The squared Frechet distance of two normal distributions: at least 0, and 0 for equal moments."""
    return frechet_between(_factored(mean, covariance), _factored(other_mean, other_covariance))


def frechet_between(one: Moments, other: Moments) -> Float64[Tensor, "*all"]:
    """The squared Frechet distance from what `moments` found.

    tr (A B)^(1/2) is the sum of the singular values of F^T H for any factors A = F F^T and B = H H^T. Unlike
    square roots of the eigenvalues of A B, these carry rounding errors of the order of the precision and not of
    its root, also where features are constant.
    """
    apart = (one.mean - other.mean).square().sum(-1)
    cross = torch.linalg.svdvals(one.factor.mT @ other.factor).sum(-1)
    distance: Tensor = apart + one.spread + other.spread - 2 * cross
    return distance.clamp_min(0)


def moments(rows: Float64[Tensor, "*sets R N"]) -> Moments:
    """Mean, factor and spread of each set of at least 2 rows."""
    mean = rows.mean(-2)
    centred = rows - mean.unsqueeze(-2)
    return _factored(mean, centred.mT @ centred / (rows.shape[-2] - 1))


def _factored(mean: Float64[Tensor, "*sets N"], covariance: Float64[Tensor, "*sets N N"]) -> Moments:
    finite = torch.isfinite(covariance).all(-1).all(-1) & torch.isfinite(mean).all(-1)
    lost = ~finite[..., None]
    # The decomposition raises on what is not finite, and one sick set must not spoil the others.
    values, vectors = torch.linalg.eigh(covariance.masked_fill(lost[..., None], 0.0))
    # Rounding makes eigenvalues that are 0 slightly negative.
    factor = vectors * values.clamp_min(0).sqrt().unsqueeze(-2)
    spread = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return Moments(mean.masked_fill(lost, torch.nan), factor, spread)
