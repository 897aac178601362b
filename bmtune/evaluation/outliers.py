"""How many samples lie farther from the real rows than any real row does.

Notation: `R` real rows and `S` samples of one class, `N` features.
"""

import math

import torch
from jaxtyping import Bool
from jaxtyping import Float64
from sklearn.neighbors import KDTree
from torch import Tensor

MAX_ELEMENTS = 2**20
"""Distances that are held at once; many more of them no longer fit a processor's cache."""
TREE_FEATURES = 6
"""Features up to which, on a CPU, a tree finds neighbours in less time than all distances take."""


def neighbour_distances(
    rows: Float64[Tensor, "S N"], real: Float64[Tensor, "R N"], num_neighbours: int, *, leave_one_out: bool = False
) -> Float64[Tensor, " S"]:
    """The mean distance of each row to its nearest real rows.

    Args:
        rows: The rows to judge, all finite.
        real: The rows to look for neighbours in, all finite.
        num_neighbours: How many neighbours count.
        leave_one_out: `rows` are `real` themselves, and no row is its own neighbour.
    """
    if rows.device.type == "cpu" and rows.shape[1] <= TREE_FEATURES:
        # The row itself is at distance 0, the first of all; which of several equal rows goes changes no distance.
        found, _ = KDTree(real.numpy()).query(rows.numpy(), num_neighbours + leave_one_out)
        return torch.from_numpy(found[:, int(leave_one_out) :]).mean(1)
    search = _Search(real, num_neighbours)
    chunk = max(1, MAX_ELEMENTS // search.width)
    return torch.cat(
        [
            search.distances(rows[start : start + chunk], start if leave_one_out else None)
            for start in range(0, len(rows), chunk)
        ]
    )


def outlier_flags(
    real: Float64[Tensor, "R N"], drawn: Float64[Tensor, "S N"], num_neighbours: int
) -> Bool[Tensor, " S"]:
    """Which samples are farther from their nearest real rows than any real row is from its own.

    Args:
        real: Real rows, at least 2.
        drawn: Samples, all finite.
        num_neighbours: Neighbours that count; at most all other real rows.
    """
    return distances_to(real, drawn, num_neighbours) > farthest_neighbours(real, num_neighbours)


def distances_to(
    real: Float64[Tensor, "R N"], drawn: Float64[Tensor, "S N"], num_neighbours: int
) -> Float64[Tensor, " S"]:
    """How far samples are from their nearest real rows; the arguments are those of `outlier_flags`."""
    return neighbour_distances(drawn, real, min(num_neighbours, len(real) - 1))


def farthest_neighbours(real: Float64[Tensor, "R N"], num_neighbours: int) -> Float64[Tensor, ""]:
    """The largest distance of a real row, of at least 2, from its nearest other ones."""
    return neighbour_distances(real, real, min(num_neighbours, len(real) - 1), leave_one_out=True).max()


class _Search:
    """Real rows in blocks: the nearest of all are among those of the blocks whose first is nearest.

    Finding the smallest of a block is one pass, finding several among all rows is many times that. Squared distances
    come from one matrix product; their rounding may exchange neighbours at distances that are equal but for it.
    The distances that count are then taken from the rows: that of equal rows is 0.
    """

    def __init__(self, real: Tensor, count: int) -> None:
        self._real, self._count = real, count
        self._blocks = max(count, math.isqrt(len(real) * count))
        self._depth = -(-len(real) // self._blocks)
        self.width = self._blocks * self._depth
        """Distances that are found for each row."""
        # Near 0 the squares round least.
        self._middle = real.mean(0)
        centred = real - self._middle
        product = real.new_zeros(real.shape[1] + 2, self.width)
        product[:-2, : len(real)] = -2 * centred.T
        product[-2] = 1.0
        # The places that are left over are infinitely far.
        product[-1] = torch.inf
        product[-1, : len(real)] = centred.square().sum(1)
        self._product = product

    def distances(self, rows: Tensor, first: int | None) -> Tensor:
        """The mean distances; `first` is the number of the first row among the real ones if they are real ones."""
        moved = rows - self._middle
        extended = torch.cat((moved, moved.square().sum(1, keepdim=True), torch.ones_like(moved[:, :1])), 1)
        squares = extended @ self._product
        if first is not None:
            here = torch.arange(len(rows), device=rows.device)
            squares[here, first + here] = torch.inf
        in_blocks = squares.unflatten(1, (self._depth, self._blocks))
        blocks = in_blocks.amin(1).topk(self._count, largest=False).indices
        candidates = in_blocks.take_along_dim(blocks.unsqueeze(1), 2).flatten(1)
        places = candidates.topk(self._count, largest=False).indices
        numbers = places // self._count * self._blocks + blocks.gather(1, places % self._count)
        nearest = self._real[numbers]
        return (rows.unsqueeze(1) - nearest).square().sum(-1).sqrt().mean(1)
