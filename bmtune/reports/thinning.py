"""Curves with few points that look like those with many."""

from collections.abc import Sequence


def points_each(num_curves: int, *, all_points: int = 120_000, fewest: int = 12, most: int = 60) -> int:
    """How many points a curve may have, so that a page of many curves is no larger than one of few.

    Args:
        num_curves: Curves on the page.
        all_points: Points of all curves together.
        fewest: A curve has at least so many.
        most: A curve has at most so many.
    """
    return max(fewest, min(most, all_points // max(1, num_curves)))


def thinned(values: Sequence[float], most: int, keep: int | None = None) -> list[int]:
    """The positions of the points to draw, in order.

    Args:
        values: One number a point, at equal distances.
        most: Most positions, at least 4.
        keep: A position that stays in any case, such as that of the best value; None: none does.

    Returns:
        All positions where there are few enough. Else the first, the last and, from each of as many stretches of equal
        length as there is room for, the point that spans the largest triangle with the point chosen before it and the
        mean of the stretch that follows, so that peaks survive.

    References:
        Steinarsson 2013, "Downsampling Time Series for Visual Representation", University of Iceland, section 4.2.
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    # One place is for the point to keep, which may not be among the chosen.
    stretches = most - 3
    edges = [1 + round(step * (count - 2) / stretches) for step in range(stretches + 1)]
    chosen = [0]
    for step in range(stretches):
        begin, end = edges[step], edges[step + 1]
        after = range(end, edges[step + 2]) if step + 2 <= stretches else range(count - 1, count)
        chosen.append(_largest_triangle(values, chosen[-1], range(begin, end), after))
    extra = set() if keep is None else {keep}
    return sorted({*chosen, count - 1} | extra)


def _largest_triangle(values: Sequence[float], before: int, among: range, after: range) -> int:
    mean_x = sum(after) / len(after)
    mean_y = sum(values[position] for position in after) / len(after)
    width, height = mean_x - before, mean_y - values[before]

    def area(position: int) -> float:
        return abs((position - before) * height - (values[position] - values[before]) * width)

    return max(among, key=area)
