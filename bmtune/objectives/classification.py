"""Losses of p(c|x). `C` classes, `B` rows."""

import torch
from jaxtyping import Float
from jaxtyping import Int
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
