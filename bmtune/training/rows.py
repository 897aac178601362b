"""Training rows by their numbers: trials on the same rows share them, embedded once.

Notation: `R` rows, `B` rows of a batch, `N` sites, `d` physical dimension. Numbers of rows may have leading axes, one
for each axis of trials.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from bmtune.born import Chain
from bmtune.data import row_order
from bmtune.evaluation import SAMPLED
from bmtune.evaluation import RealRows
from bmtune.training.problem import Problem

MAX_KEPT = 1 << 23
"""Numbers in embedded rows that are kept; larger sets are embedded batch by batch."""


class RowBatches:
    """One pass over the training rows: how many, and the numbers (*, B) of a batch's rows, batch by batch."""

    def __init__(self, order: Tensor, batch_size: int) -> None:
        """A pass in an order (*, R); the last batch holds what is left."""
        self.order = order
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[int, tuple[Tensor]]]:
        """The batches."""
        return ((chosen.shape[-1], (chosen,)) for chosen in self.order.split(self.batch_size, -1))

    @classmethod
    def stacked(cls, passes: "Sequence[RowBatches]") -> "RowBatches":
        """The passes of several trials, whose batches have equal sizes, as one."""
        return cls(torch.stack([each.order for each in passes]), passes[0].batch_size)


def row_batches(problem: Problem, batch_size: int, seed: int) -> RowBatches:
    """One pass over the training rows in seeded order."""
    labels = problem.splits["train"].y
    order = row_order(len(labels), torch.Generator().manual_seed(seed), labels.device)
    return RowBatches(order + problem.first_row, batch_size)


def embedded(problem: Problem, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Features (*, N, d, B) and labels (*, B) of training rows with the numbers `chosen`, (*, B)."""
    train, chain = problem.splits["train"], problem.chain
    shape, flat = chosen.shape, chosen.flatten()
    if train.x.shape[0] * chain.num_sites * chain.physical_dim <= MAX_KEPT:
        found = embedded_table(chain, train.x).index_select(0, flat)
        phi = found.view(*shape, chain.num_sites, chain.physical_dim).movedim(-3, -1)
    else:
        phi = chain.features(train.x.index_select(0, flat)).unflatten(-1, shape)
        phi = phi.movedim((0, 1), (-3, -2))
    if chain.num_sites > 2:
        # Inner sites multiply features elementwise, where rows must lie side by side; edges only by matrix products.
        phi = phi.contiguous()
    return phi, train.y.index_select(0, flat).view(shape)


@lru_cache(maxsize=4)
def embedded_table(chain: Chain, x: Tensor) -> Tensor:
    """All rows embedded, one after the other: (R, N * d)."""
    return chain.features(x).movedim(-1, 0).flatten(1).contiguous()


def compared_rows(problem: Problem, names: Iterable[str]) -> RealRows | None:
    """The validation rows as samples are compared with them; None where no metric among the names needs samples."""
    if not set(SAMPLED).intersection(names):
        return None
    valid, chain = problem.splits["valid"], problem.chain
    return _real_rows(valid.x, valid.y, chain.num_classes, chain.embedding.data_interval, problem.device)


@lru_cache(maxsize=4)
def _real_rows(x: Tensor, y: Tensor, num_classes: int, interval: tuple[float, float], device: torch.device) -> RealRows:
    """Found once for all epochs and trials on these rows: their neighbours among themselves depend on no model."""
    return RealRows(x, y, num_classes, interval, device)
