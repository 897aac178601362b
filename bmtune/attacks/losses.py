"""What an attack raises: losses of log u(x, c) for each row. `C` classes, `B` rows.

None of them saturates: the cross-entropy of a row with p(c|x) = 1 - 1e-9 has slope 0 in float32, and an attack
that follows it stands still where the model is merely sure (masked gradients).
"""

from jaxtyping import Float
from jaxtyping import Int64
from torch import Tensor
from torch import arange


def log_odds(log_weights: Float[Tensor, "C B"], labels: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The log of (1 - p(c|x)) / p(c|x) at the label, in nats.

    It grows with the cross-entropy, log(1 + exp(log-odds)), and its slope has the same direction: attacks that use
    direction and order only make the same steps with either.
    """
    if log_weights.shape[0] == 2:
        return _lead(log_weights, labels)
    others, own = _against(log_weights, labels)
    return others.logsumexp(0) - own


def margin(log_weights: Float[Tensor, "C B"], labels: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The lead of the best other class over the label, in nats: positive for a wrong prediction."""
    if log_weights.shape[0] == 2:
        return _lead(log_weights, labels)
    others, own = _against(log_weights, labels)
    return others.amax(0) - own


def difference_of_logits(log_weights: Float[Tensor, "C B"], labels: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """The margin over the distance of the first from the third class (DLR; Croce and Hein 2020, arXiv 2003.01690).

    It needs three classes; where the first three tie it is not a number.
    """
    first, _, third = log_weights.topk(3, dim=0).values.unbind(0)
    return margin(log_weights, labels) / (first - third)


def _lead(log_weights: Tensor, labels: Tensor) -> Tensor:
    """The lead of the other one of two classes, (B,): both losses in a fraction of the time."""
    return (log_weights[1] - log_weights[0]) * (1 - 2 * labels)


def _against(log_weights: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The log-weights with -inf at the label (C, B), and those of the label (B,)."""
    is_label = arange(log_weights.shape[0], device=labels.device)[:, None] == labels
    return log_weights.masked_fill(is_label, float("-inf")), log_weights.gather(0, labels[None]).squeeze(0)
