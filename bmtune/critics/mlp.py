"""The critic: a multilayer perceptron as a pure function of its tensors.

`S` rows a class, `C` classes, `N` features.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu
from torch.nn.functional import linear

from bmtune.config.critic import CriticConfig

NEGATIVE_SLOPE = 0.2


@dataclass(frozen=True)
class CriticShape:
    """What is fixed about a critic.

    Attributes:
        widths: Sizes of input, hidden layers and output.
        aware: Whether there is one output for each class, of which a row's own counts.
        interval: Range of the features; the first layer sees it as [-1, 1].
    """

    widths: tuple[int, ...]
    aware: bool
    interval: tuple[float, float]

    @classmethod
    def from_config(
        cls, config: CriticConfig, num_features: int, num_classes: int, interval: tuple[float, float]
    ) -> "CriticShape":
        """The shape that `config` describes, for data of this shape."""
        hidden = (max(config.min_width, round(factor * num_features)) for factor in config.width_multipliers)
        aware = config.head == "aware"
        return cls((num_features, *hidden, num_classes if aware else 1), aware, interval)


def start_critic(shape: CriticShape, seed: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The tensors that training starts from: weight and bias of each layer in turn.

    Weights are normal with the gain of a leaky rectifier (He et al. 2015, arXiv 1502.01852); biases are 0.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: list[Tensor] = []
    for fan_in, fan_out in pairwise(shape.widths):
        std = sqrt(2 / (1 + NEGATIVE_SLOPE**2) / fan_in)
        tensors += [
            torch.randn(fan_out, fan_in, generator=generator, dtype=dtype) * std,
            torch.zeros(fan_out, dtype=dtype),
        ]
    return tuple(tensors)


def critic_scores(
    shape: CriticShape, tensors: tuple[Tensor, ...], rows: Float[Tensor, "S C N"]
) -> Float[Tensor, "S C"]:
    """The critic's output for each row: high for what it takes to be real."""
    low, high = shape.interval
    # One matrix product for all rows of all classes: drawn rows lie in an order in which torch would take one for each.
    hidden = ((rows - (low + high) / 2) * (2 / (high - low))).flatten(0, -2)
    layers = list(zip(tensors[::2], tensors[1::2], strict=True))
    for weight, bias in layers[:-1]:
        hidden = leaky_relu(linear(hidden, weight, bias), NEGATIVE_SLOPE)
    scores: Tensor = linear(hidden, *layers[-1]).unflatten(0, rows.shape[:-1])
    return scores.diagonal(dim1=-2, dim2=-1) if shape.aware else scores.squeeze(-1)
