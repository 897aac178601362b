"""Minibatches as slices of a permuted tensor.

Letters: R rows of a split, B rows of a batch, N features, C classes, K rows a class in a batch.
"""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Generic
from typing import TypeVar

import torch
from jaxtyping import Float
from jaxtyping import Int64
from torch import Tensor

from bmtune.data.seeds import SeedPurpose
from bmtune.data.seeds import torch_generator
from bmtune.errors import DataError

Batch = TypeVar("Batch")

DEFAULT_BATCH_SIZE = 64
"""Rows of a batch (of one class, in discrimination) where nothing else is asked for."""


def check_batch_size(num_rows: int, batch_size: int, *, place: str = "batch_size") -> None:
    """Refuses a batch that is larger than the training split.

    Args:
        num_rows: Rows of the training split.
        batch_size: Rows of a batch.
        place: The field that the message names.

    Raises:
        DataError: There are fewer rows than a batch takes.
    """
    if num_rows < batch_size:
        raise DataError(
            f"{place} <= number of training rows must hold, but got {place}={batch_size} and {num_rows} rows; "
            f"set {place} to at most {num_rows} or choose a larger data set"
        )


def class_batches(
    x: Float[Tensor, "R N"], y: Int64[Tensor, " R"], batch_size: int, generator: torch.Generator | None
) -> Iterator[tuple[Float[Tensor, "B N"], Int64[Tensor, " B"]]]:
    """One pass over all rows, in an order drawn from `generator`, or as they are without one.

    Args:
        x: Rows, on any device.
        y: Labels.
        batch_size: Rows of a batch; the last batch holds what is left.
        generator: Draws the order; a CPU generator gives the same order on every device.
    """
    if generator is not None:
        order = row_order(len(y), generator, y.device)
        x, y = x[order], y[order]
    return zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)


def discrimination_batches(
    x: Float[Tensor, "R N"],
    y: Int64[Tensor, " R"],
    num_classes: int,
    num_per_class: int,
    generator: torch.Generator | None,
) -> Iterator[Float[Tensor, "K C N"]]:
    """One pass over the rows with every class in equal number, each class in an order of its own.

    The rarest class decides how many batches there are; a last, smaller batch is left out unless it
    is the only one.

    Args:
        x: Rows, on any device.
        y: Labels 0 to C - 1.
        num_classes: Number of classes, C.
        num_per_class: Rows of each class in a batch.
        generator: Draws the orders; rows keep their order without one.

    Raises:
        DataError: A class has no row.
    """
    counts = torch.bincount(y, minlength=num_classes)
    fewest = int(counts.min())
    if fewest == 0:
        raise DataError(
            f"each class must have a row in every split, but class number {int(counts.argmin())} has none among these "
            f"{len(y)} rows; add rows of this class or leave it out"
        )
    usable = fewest if fewest < num_per_class else fewest - fewest % num_per_class
    grouped = torch.argsort(y, stable=True)
    if generator is not None:
        # Grouping a uniform order by class leaves each class in a uniform order, independent of the others.
        order = row_order(len(y), generator, y.device)
        grouped = order[torch.argsort(y[order], stable=True)]
    starts = counts.cumsum(0) - counts
    index = grouped[starts[None, :] + torch.arange(usable, device=y.device)[:, None]]
    return iter(torch.split(x[index], num_per_class))


def row_order(num_rows: int, generator: torch.Generator, device: torch.device) -> Int64[Tensor, " R"]:
    """An order of rows drawn from a CPU generator, the same on every device."""
    return torch.randperm(num_rows, generator=generator, device=generator.device).to(device)


class Loader(Generic[Batch]):
    """An iterable over the batches of one split: each iteration is one pass.

    With a seed every pass has an order of its own, the same in every loader of that seed; without
    one the rows come as they are.

    Args:
        draw: Gives one pass from a batch size and a generator.
        batch_size: Rows of a batch, of one class in discrimination.
        seed: Determines the order of every pass.
    """

    def __init__(
        self,
        draw: Callable[[int, torch.Generator | None], Iterator[Batch]],
        batch_size: int = DEFAULT_BATCH_SIZE,
        seed: int | None = None,
    ) -> None:
        self._draw = draw
        self._batch_size = batch_size
        self._seed = seed
        self._num_passes = 0

    def loader(self, batch_size: int, seed: int | None = None) -> "Loader[Batch]":
        """The same rows with another batch size and seed."""
        return Loader(self._draw, batch_size, seed)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the next pass."""
        generator = None
        if self._seed is not None:
            generator = torch_generator(self._seed, SeedPurpose.BATCHES, self._num_passes)
        self._num_passes += 1
        return self._draw(self._batch_size, generator)
