"""Losses of p(x, c), and the criterion that users may write themselves. `C` classes, `B` rows."""

import torch
from jaxtyping import Float
from jaxtyping import Int
from torch import Tensor

from bmtune.born import BornMachine
from bmtune.objectives.classification import class_nll


def joint_nll(
    log_weights: Float[Tensor, "C B"], labels: Int[Tensor, " B"], log_partitions: Float[Tensor, " C"]
) -> Float[Tensor, ""]:
    """The mean of -log p(x, c) = log Z - log u(x, c), in nats (Han et al. 2018, PRX 8, 031012)."""
    return log_partitions.logsumexp(0) - log_weights.gather(0, labels[None]).mean()


def mixed_nll(
    log_weights: Float[Tensor, "C B"],
    labels: Int[Tensor, " B"],
    log_partitions: Float[Tensor, " C"],
    alpha: float | Tensor,
) -> Float[Tensor, ""]:
    """(1 - alpha) times -log p(c|x) plus alpha times -log p(x, c), affine in alpha in [0, 1]."""
    return (1 - alpha) * class_nll(log_weights, labels) + alpha * joint_nll(log_weights, labels, log_partitions)


def norm_penalty(log_partitions: Float[Tensor, " C"], log_target: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """(log Z - log target)^2."""
    return (log_partitions.logsumexp(0) - log_target).square()


class GenerativeNLL:
    """The criterion of generative training: the mean of log Z - log u(x, c).

    Complete and exact as it is; override either method to train something else, for example p(x|c)
    by returning log Z_c of each row's class.
    """

    def compute_unnormalized_log_prob(self, bornmachine: BornMachine, data: Tensor, labels: Tensor) -> Tensor:
        """log u(x, c) = log |psi_c(x)|^2 of each row: (B,).

        Args:
            bornmachine: The machine that is trained; differentiable in its cores.
            data: (B, N) rows in the embedding's interval.
            labels: (B,) classes.
        """
        return bornmachine.log_weights(data).gather(1, labels[:, None]).squeeze(1)

    def compute_log_partition(self, bornmachine: BornMachine, labels: Tensor) -> Tensor:
        """log Z, shape () for all rows or (B,) for each."""
        return bornmachine.log_partition()

    def __call__(self, bornmachine: BornMachine, data: Tensor, labels: Tensor) -> Tensor:
        """The loss, shape ()."""
        log_prob = self.compute_unnormalized_log_prob(bornmachine, data, labels)
        return (self.compute_log_partition(bornmachine, labels) - log_prob).mean()


def check_criterion(criterion: GenerativeNLL, bornmachine: BornMachine, data: Tensor, labels: Tensor) -> str | None:
    """What is wrong with what a criterion's methods return for these rows; None if nothing is.

    The machine's cores must require gradients.
    """
    num_rows = len(labels)
    methods = {
        "compute_unnormalized_log_prob": (criterion.compute_unnormalized_log_prob(bornmachine, data, labels), "(B,)"),
        "compute_log_partition": (criterion.compute_log_partition(bornmachine, labels), "() or (B,)"),
    }
    for name, (value, allowed) in methods.items():
        if not isinstance(value, torch.Tensor):
            return f"{name} must return a tensor of shape {allowed}, but got {type(value).__name__}"
        if value.shape not in ({(num_rows,)} if allowed == "(B,)" else {(), (num_rows,)}):
            return f"{name} must return shape {allowed} for B={num_rows} rows, but got {tuple(value.shape)}"
        if not bool(value.isfinite().all()):
            return f"{name} must return finite numbers, but got {int((~value.isfinite()).sum())} that are not"
    if not any(value.requires_grad for value, _ in methods.values()):
        return "a criterion must depend on the machine's cores, but neither method returns anything that has a gradient"
    return None
