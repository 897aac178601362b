"""The best value of a search over its epochs, as one line of a terminal."""

import math
from bisect import bisect_right
from typing import NamedTuple

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-:=+*#"
"""The same where a terminal has ASCII only."""

DECADE = 10.0
"""From this ratio of the largest to the smallest value on, heights are logarithmic."""


class Best(NamedTuple):
    """A best value from the moment on at which it was seen first."""

    epochs: int
    """Epochs of all trials up to here."""
    seconds: float
    value: float


class BestCourse:
    """The best values that were seen, each once.

    Attributes:
        seen: In order; the last one is that of now. Mostly each is better than the one before it, but a trial that
            halving holds loses its place to one that went on.
    """

    def __init__(self) -> None:
        self.seen: list[Best] = []

    def see(self, epochs: int, seconds: float, value: float) -> None:
        """The best value is this one now."""
        if not self.seen or value != self.seen[-1].value:
            self.seen.append(Best(epochs, seconds, value))

    def values(self, epochs: int, count: int) -> list[float | None]:
        """The best value at `count` places in equal distances up to `epochs`; None: there was none yet."""
        places = [best.epochs for best in self.seen]
        found = []
        for place in range(1, count + 1):
            known = bisect_right(places, epochs * place / count)
            found.append(self.seen[known - 1].value if known else None)
        return found


def sparkline(values: list[float | None], *, rises: bool, ascii_only: bool = False) -> str:
    """A character for each value: the better the higher, from the worst to the best of them; a blank for None.

    Args:
        values: At least one.
        rises: Whether larger values are better.
        ascii_only: Whether to do without block characters.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    steps = PLAIN if ascii_only else BLOCKS
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    logarithmic = low > 0 and high / low >= DECADE

    def height(value: float) -> str:
        bottom, top, here = (math.log(low), math.log(high), math.log(value)) if logarithmic else (low, high, value)
        share = (here - bottom) / (top - bottom) if top > bottom else 0.0
        return steps[round((share if rises else 1 - share) * (len(steps) - 1))]

    return "".join(" " if value is None or not math.isfinite(value) else height(value) for value in values)
