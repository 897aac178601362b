"""The Frechet distance between two sets of rows, from their means and covariances.

Notation: `R` rows, `N` features.

References:
    Dowson and Landau 1982, "The Frechet distance between multivariate normal distributions".
"""

import torch
from jaxtyping import Float64
from torch import Tensor


def frechet_distance(real: Float64[Tensor, "R N"], drawn: Float64[Tensor, "S N"]) -> Float64[Tensor, ""]:
    """|mean - mean'|^2 + tr(A + B - 2 (A B)^(1/2)) of the two sets' moments, in squared units of the rows.

    Covariances are unbiased; each set needs at least 2 rows. Not finite where a row is not.
    """
    return frechet_from_moments(*_moments(real), *_moments(drawn))


def frechet_from_moments(
    mean: Float64[Tensor, " N"],
    covariance: Float64[Tensor, "N N"],
    other_mean: Float64[Tensor, " N"],
    other_covariance: Float64[Tensor, "N N"],
) -> Float64[Tensor, ""]:
    """The squared Frechet distance of two normal distributions: at least 0, and 0 for equal moments.

    tr (A B)^(1/2) is the sum of the singular values of F^T H for any factors A = F F^T and B = H H^T. Unlike
    square roots of the eigenvalues of A B, these carry rounding errors of the order of the precision and not of
    its root, also where features are constant.
    """
    apart = (mean - other_mean).square().sum()
    finite = torch.isfinite(covariance).all() & torch.isfinite(other_covariance).all()
    if not finite or not torch.isfinite(apart):
        # The decompositions raise on such input; the caller reports it as a failure of the trial.
        return torch.full_like(apart, torch.nan)
    cross = torch.linalg.svdvals(_factor(covariance).mT @ _factor(other_covariance)).sum()
    distance: Tensor = apart + covariance.trace() + other_covariance.trace() - 2 * cross
    return distance.clamp_min(0)


def _moments(rows: Float64[Tensor, "R N"]) -> tuple[Tensor, Tensor]:
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.mT @ centred / (len(rows) - 1)


def _factor(covariance: Float64[Tensor, "N N"]) -> Float64[Tensor, "N N"]:
    """F with F F^T = covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding makes eigenvalues that are 0 slightly negative.
    factor: Tensor = vectors * values.clamp_min(0).sqrt()
    return factor
