"""One model or several: cores as they are, or with an axis of lanes in front of every tensor.

What is measured is written for the cores of one model and mapped over the lanes of several, so that both come from the
same formulas.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bmtune.born import Cores


def lanes_of(cores: Cores) -> tuple[int, ...]:
    """(P,) for the cores of P models, () for those of one."""
    return tuple(cores.edge.shape[:-3])


def for_each(cores: Cores, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of one model's tensors, for what these cores hold: mapped over the first axis of its arguments."""
    return torch.vmap(function) if lanes_of(cores) else function


def some_lanes(cores: Cores, lanes: slice) -> Cores:
    """The cores of some of several models."""
    return Cores(*(core[lanes] for core in cores))
