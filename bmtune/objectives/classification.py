"""Losses of p(c|x), and their slopes by hand. `C` classes, `B` rows, `*lanes` free axes in front.

Slopes are those in the mantissa of the class amplitudes psi_c (`bmtune.born.amplitudes_and_pull`), of which p(c|x) =
|psi_c|^2 / sum_c |psi_c|^2 depends alone: d log |psi|^2 is 2 / conj(psi) as torch writes complex slopes. A test holds
them to automatic differentiation.
"""

import torch
from jaxtyping import Float
from jaxtyping import Int
from jaxtyping import Shaped
from torch import Tensor


def class_nll(log_weights: Float[Tensor, "C B"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """The mean of -log p(c|x), with p(c|x) = u_c / sum_c u_c (nats)."""
    # Over the first axis as it lies: transposed, each row would be gathered number by number.
    return -log_weights.log_softmax(0).gather(0, labels[None]).mean()


def brier(log_weights: Float[Tensor, "C B"], labels: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """The mean squared distance of p(.|x) to the label's unit vector, in [0, 2] (Brier 1950)."""
    probabilities = log_weights.softmax(0)
    target = torch.nn.functional.one_hot(labels, log_weights.shape[0]).T
    return (probabilities - target).square().sum(0).mean()


def class_nll_and_slope(
    mantissa: Shaped[Tensor, "*lanes C B"], labels: Int[Tensor, "*lanes B"]
) -> tuple[Float[Tensor, "*lanes"], Shaped[Tensor, "*lanes C B"]]:
    """`class_nll` of amplitudes, and its slope in them: (p_c - [c = label]) / B in log |psi_c|^2."""
    chosen = labels.unsqueeze(-2)
    log_probabilities = _log_abs2(mantissa).log_softmax(-2)
    at_label = log_probabilities.gather(-2, chosen)
    slope = log_probabilities.exp_().scatter_add_(-2, chosen, torch.full_like(at_label, -1.0))
    return -at_label.mean((-2, -1)), in_amplitudes(slope, mantissa, 1 / labels.shape[-1])


def brier_and_slope(
    mantissa: Shaped[Tensor, "*lanes C B"], labels: Int[Tensor, "*lanes B"]
) -> tuple[Float[Tensor, "*lanes"], Shaped[Tensor, "*lanes C B"]]:
    """`brier` of amplitudes, and its slope in them: 2 p_c (e_c - sum_k p_k e_k) / B with e = p - [c = label]."""
    probabilities = _log_abs2(mantissa).softmax(-2)
    chosen = labels.unsqueeze(-2)
    error = probabilities.scatter_add(-2, chosen, probabilities.new_full(chosen.shape, -1.0))
    weighted = probabilities * error
    slope = weighted - probabilities * weighted.sum(-2, keepdim=True)
    return error.square().sum(-2).mean(-1), in_amplitudes(slope, mantissa, 2 / labels.shape[-1])


def in_amplitudes(
    slope: Float[Tensor, "*lanes C B"], mantissa: Shaped[Tensor, "*lanes C B"], factor: float = 1.0
) -> Shaped[Tensor, "*lanes C B"]:
    """`factor` times a slope in log |psi_c|^2, as one in psi_c; 0 where psi_c is, as `log_abs2` has it.

    The slope is used up.
    """
    found = slope.mul_(2 * factor) / mantissa.conj()
    return found.masked_fill_(mantissa == 0, 0.0)


def _log_abs2(mantissa: Tensor) -> Tensor:
    """`log_abs2` where nothing is differentiated: the logarithm of 0 needs no care."""
    return mantissa.abs().log_().mul_(2)
