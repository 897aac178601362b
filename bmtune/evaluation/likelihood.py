"""Accuracy, class and joint negative log-likelihood of labelled rows, from one forward pass.

Notation: `R` rows, `C` classes, `N` features, `d` physical dimension; u(x, c) = |psi_c(x)|^2 and
Z = sum over classes of the integral of u. Averages are sums over all rows divided by their
number, in float64; a number that is not finite makes the average not finite.
"""

from collections.abc import Iterable
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
from bmtune.evaluation.models import lanes_of

LIKELIHOODS = ("acc", "loss", "genloss")
"""The metrics of one forward pass, in the order of `likelihood_values`."""
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
    return LikelihoodSums(*_sums(weights, y).tolist())


def _sums(weights: Float[Tensor, "C R"], y: Int64[Tensor, " R"]) -> Float64[Tensor, " 3"]:
    """The fields of `LikelihoodSums`, on the device."""
    wide = weights.double()
    log_probabilities = wide.log_softmax(0)
    at_label = log_probabilities.gather(0, y[None]).squeeze(0)
    correct = correct_rows(weights, y)
    log_weight = wide.gather(0, y[None]).sum()
    return torch.stack((correct.sum(), -at_label.sum(), log_weight))


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
    values = likelihood_values(chain, cores, embedded_chunks(chain, cores, split), len(split.y))
    return dict(zip(LIKELIHOODS, values.tolist(), strict=True))


def likelihood_values(
    chain: Chain, cores: Cores, chunks: Iterable[tuple[Tensor, Tensor]], num_rows: int
) -> Float64[Tensor, " 3"]:
    """`LIKELIHOODS` as one tensor on the device, from the chunks of all rows (`embedded_chunks`)."""
    sums = torch.stack([_sums(log_weights(cores, phi), y) for phi, y in chunks]).sum(0)
    correct, class_nll, log_weight = (sums / num_rows).unbind(0)
    partition = log_partitions(cores, chain.gram(cores.edge.device)).double().logsumexp(0)
    return torch.stack((correct, class_nll, partition - log_weight))


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
    """The rows, embedded (N, d, B) and on the device of the cores, with their labels (B,), chunk by chunk.

    The cores may have an axis of lanes in front.
    """
    # Lanes share the embedded rows, but each has products of rows and running vectors of its own.
    kept = chain.num_sites + 2 * sum(lanes_of(cores)) * cores.edge.shape[-2]
    rows = max(1, MAX_ELEMENTS // (kept * chain.physical_dim))
    for x, y in zip(torch.split(split.x, rows), torch.split(split.y, rows), strict=True):
        yield chain.features(x.to(cores.edge.device)), y.to(cores.edge.device)
