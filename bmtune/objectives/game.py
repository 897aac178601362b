"""Losses of critic and generator. `S` rows a class, `C` classes, `N` features.

Real and generated rows may differ in number: every mean is over its own rows.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

Scores = Float[Tensor, "S C"]


def critic_bce(real: Tensor, generated: Tensor) -> Float[Tensor, ""]:
    """Binary cross-entropy of telling real from generated (Goodfellow et al. 2014), on logits."""
    return softplus(-real).mean() + softplus(generated).mean()


def generator_bce(generated: Tensor) -> Float[Tensor, ""]:
    """The non-saturating generator loss -log D(x) (Goodfellow et al. 2014), on logits."""
    return softplus(-generated).mean()


def critic_wasserstein(real: Tensor, generated: Tensor) -> Float[Tensor, ""]:
    """Minus the estimated Wasserstein distance (Arjovsky et al. 2017)."""
    return generated.mean() - real.mean()


def generator_wasserstein(generated: Tensor) -> Float[Tensor, ""]:
    """The generator's side of the estimated distance (Arjovsky et al. 2017)."""
    return -generated.mean()


def gradient_penalty(
    score: Callable[[Tensor], Tensor],
    real: Float[Tensor, "S C N"],
    generated: Float[Tensor, "S C N"],
    mixing: Float[Tensor, "S C 1"],
) -> Float[Tensor, ""]:
    """The mean of (|gradient| - 1)^2 at points between real and generated rows (Gulrajani et al. 2017).

    The norm is taken row by row: a norm over a batch would depend on its size.

    Args:
        score: The critic, rows (S, C, N) to (S, C).
        real: Real rows.
        generated: As many generated rows.
        mixing: Shares of the real row, uniform in [0, 1].
    """
    between = (generated + mixing * (real - generated)).detach()
    # Inside torch.vmap there are no leaves to differentiate in.
    slope = torch.func.grad(lambda rows: score(rows).sum())(between)
    norms: Tensor = torch.linalg.vector_norm(slope, dim=-1)
    return (norms - 1).square().mean()
