"""Accuracy, class and joint negative log-likelihood of labelled rows, from one forward pass.

Notation: `R` rows, `C` classes, `N` features, `d` physical dimension; u(x, c) = |psi_c(x)|^2 and
Z = sum over classes of the integral of u. Averages are sums over all rows divided by their
number, in float64; a number that is not finite makes the average not finite.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from jaxtyping import Float64
from jaxtyping import Int64
from torch import Tensor

from bmtune.born import Chain
from bmtune.born import Cores
from bmtune.born import log_partitions
from bmtune.born import log_weights
from bmtune.data import Split

MAX_ELEMENTS = 2**22
"""Numbers that a chunk of embedded rows may hold; the rest of a chunk's memory is smaller."""


class LikelihoodSums(NamedTuple):
    """Sums over rows, from which means of any set of rows follow."""

    correct: float
    """Rows whose most probable class is theirs; NaN where a row has no class probabilities."""
    class_nll: float
    """Sum of -log p(c|x), in nats."""
    log_weight: float
    """Sum of log u(x, c) at the true class, in nats."""


def likelihood_sums(weights: Float[Tensor, "C R"], y: Int64[Tensor, " R"]) -> LikelihoodSums:
    """Sums over rows from log u(x, c) and the labels."""
    wide = weights.double()
    log_probabilities = wide.log_softmax(0)
    at_label = log_probabilities.gather(0, y[None]).squeeze(0)
    correct = correct_rows(weights, y)
    log_weight = wide.gather(0, y[None]).sum()
    correct_sum, at_label_sum, log_weight_sum = torch.stack((correct.sum(), at_label.sum(), log_weight)).tolist()
    return LikelihoodSums(correct=correct_sum, class_nll=-at_label_sum, log_weight=log_weight_sum)


def correct_rows(weights: Float[Tensor, "C R"], y: Int64[Tensor, " R"]) -> Float64[Tensor, " R"]:
    """1 for a row whose most probable class is its own, 0 for another; NaN where there are no class probabilities."""
    wide = weights.double()
    # argmax of a column that holds NaN, or of one where every u is 0, is a number but not a prediction.
    predicted = torch.isfinite(wide.logsumexp(0))
    return torch.where(predicted, (wide.argmax(0) == y).double(), torch.nan)


@torch.no_grad()
def likelihood_metrics(chain: Chain, cores: Cores, split: Split) -> dict[str, float]:
    """`acc` (share), `loss` and `genloss` (nats, x in interval coordinates) of a split.

    Rows pass in chunks that bound memory; how many there are does not change the result.
    """
    sums = [likelihood_sums(log_weights(cores, phi), y) for phi, y in embedded_chunks(chain, cores, split)]
    correct, class_nll, log_weight = (sum(column) for column in zip(*sums, strict=True))
    partition = log_partitions(cores, chain.gram(cores.edge.device)).double().logsumexp(0).item()
    num_rows = len(split.y)
    return {
        "acc": correct / num_rows,
        "loss": class_nll / num_rows,
        "genloss": partition - log_weight / num_rows,
    }


@torch.no_grad()
def genloss_floor(chain: Chain, split: Split) -> float:
    """The lowest joint negative log-likelihood that any cores can reach on these rows, in nats.

    psi_c is an inner product with the product of the phi(x_i), so by Cauchy and Schwarz
    u(x, c) <= Z * prod_i phi(x_i)^T G^-1 phi(x_i), with the Gram matrix G of the embedding. The mean over
    rows of -sum_i log of that factor is a tighter floor than the one with its maximum over the interval.
    """
    gram = chain.embedding.gram(chain.physical_dim).to(split.x.device)
    phi = chain.embedding.values(split.x.T, chain.physical_dim, 1).double()
    norms = (phi * torch.linalg.solve(gram, phi)).sum(1)
    return -float(norms.log().sum(0).mean())


def embedded_chunks(chain: Chain, cores: Cores, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows, embedded (N, d, B) and on the device of the cores, with their labels (B,), chunk by chunk."""
    rows = max(1, MAX_ELEMENTS // (chain.num_sites * chain.physical_dim))
    for x, y in zip(torch.split(split.x, rows), torch.split(split.y, rows), strict=True):
        yield chain.features(x.to(cores.edge.device)), y.to(cores.edge.device)
