"""How many samples lie farther from the real rows than any real row does.

Notation: `R` real rows and `S` samples of one class, `N` features.
"""

import torch
from jaxtyping import Bool
from jaxtyping import Float64
from torch import Tensor

MAX_ELEMENTS = 2**22
"""Distances that are held at once."""


def neighbour_distances(
    rows: Float64[Tensor, "S N"], real: Float64[Tensor, "R N"], num_neighbours: int, *, leave_one_out: bool = False
) -> Float64[Tensor, " S"]:
    """The mean distance of each row to its nearest real rows.

    Args:
        rows: The rows to judge.
        real: The rows to look for neighbours in.
        num_neighbours: How many neighbours count.
        leave_one_out: `rows` are `real` themselves, and no row is its own neighbour.
    """
    chunk = max(1, MAX_ELEMENTS // len(real))
    found = []
    for start in range(0, len(rows), chunk):
        # Through matrix products the distance of equal rows would not be 0.
        distances = torch.cdist(rows[start : start + chunk], real, compute_mode="donot_use_mm_for_euclid_dist")
        if leave_one_out:
            here = torch.arange(len(distances), device=rows.device)
            distances[here, start + here] = torch.inf
        found.append(distances.topk(num_neighbours, dim=1, largest=False).values.mean(1))
    return torch.cat(found)


def outlier_flags(
    real: Float64[Tensor, "R N"], drawn: Float64[Tensor, "S N"], num_neighbours: int
) -> Bool[Tensor, " S"]:
    """Which samples are farther from their nearest real rows than any real row is from its own.

    Args:
        real: Real rows, at least 2.
        drawn: Samples, all finite.
        num_neighbours: Neighbours that count; at most all other real rows.
    """
    count = min(num_neighbours, len(real) - 1)
    farthest = neighbour_distances(real, real, count, leave_one_out=True).max()
    return neighbour_distances(drawn, real, count) > farthest
