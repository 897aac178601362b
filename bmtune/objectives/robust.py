"""Losses of training against attacks. `C` classes, `B` rows."""

import torch
from jaxtyping import Float
from jaxtyping import Int
from torch import Tensor


def divergence_rows(clean: Float[Tensor, "C B"], attacked: Float[Tensor, "C B"]) -> Float[Tensor, " B"]:
    """KL(p(.|x) || p(.|x_adv)) of each row from both log-weights, in nats; 0 where they agree.

    Weights are taken relative to those of the class that is most probable at x. Where that class is nearly
    certain, its own small slope would be lost to rounding; this way it is carried by the other classes.
    """
    anchor = clean.detach().argmax(0, keepdim=True)
    log_p = (clean - clean.gather(0, anchor)).log_softmax(0)
    log_q = (attacked - attacked.gather(0, anchor)).log_softmax(0)
    impossible = log_p == float("-inf")
    # A class of probability 0 has no say: 0 log 0 = 0.
    return (log_p.exp() * (log_p.masked_fill(impossible, 0.0) - log_q.masked_fill(impossible, 0.0))).sum(0)


def trades(
    clean_loss: Float[Tensor, ""], clean: Float[Tensor, "C B"], attacked: Float[Tensor, "C B"], beta: float | Tensor
) -> Float[Tensor, ""]:
    """The clean loss plus beta times the mean KL(p(.|x) || p(.|x_adv)) (TRADES; Zhang et al. 2019, arXiv 1901.08573).

    The gradient passes through both arguments of the divergence.
    """
    return clean_loss + beta * divergence_rows(clean, attacked).mean()


def mixed_adversarial(
    clean_loss: Float[Tensor, ""], attacked_loss: Float[Tensor, ""], clean_weight: float | Tensor
) -> Float[Tensor, ""]:
    """(1 - w) times the loss on attacked rows plus w times that on clean ones (Madry et al. 2018 for w = 0)."""
    return (1 - clean_weight) * attacked_loss + clean_weight * clean_loss


def brier_rows(log_weights: Float[Tensor, "C B"], labels: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The squared distance of p(.|x) to the label's unit vector for each row; `brier` is its mean."""
    target = torch.nn.functional.one_hot(labels, log_weights.shape[0]).T
    return (log_weights.softmax(0) - target).square().sum(0)
