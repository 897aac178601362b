"""Min-max scaling of features to the interval of an embedding, fitted on training rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bmtune.data.table import Values

Interval = tuple[float, float]
"""Lowest and highest value of a scaled feature."""

_BLOCK_VALUES = 1 << 16
"""Values that are scaled at once: they fit in the cache (all of MNIST at once took twice the time and gigabytes)."""


@dataclass(frozen=True)
class MinMaxScaler:
    """The affine map of each feature's training range to an interval.

    Attributes:
        low: Smallest training value of each feature, (N,).
        high: Largest training value of each feature, (N,).
        interval: Where `low` and `high` go.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    interval: Interval

    @property
    def num_constant(self) -> int:
        """Number of features that have one value in all training rows."""
        return int((self.low == self.high).sum())

    def transform(self, x: Values) -> tuple[NDArray[np.float64], int]:
        """The scaled rows, all inside the interval, and how many values lay outside the training range.

        A feature that is constant in training goes to the middle of the interval, whatever its value:
        nothing is known about its unit.

        Args:
            x: Rows in the units of the source, (R, N).

        Returns:
            The scaled rows (R, N) and the number of values that were clipped.
        """
        scaled = np.empty(x.shape, dtype=np.float64)
        clipped = 0
        step = max(1, _BLOCK_VALUES // x.shape[1])
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            scaled[rows], outside = self._transform_block(x[rows].astype(np.float64))
            clipped += outside
        return scaled, clipped

    def _transform_block(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        outside = (x < self.low) | (x > self.high)
        # A power of two brings each feature to at most 1 in size: exact, and high - low cannot overflow.
        exponent = -np.frexp(np.maximum(np.abs(self.low), np.abs(self.high)))[1]
        low = np.ldexp(self.low, exponent)
        span = np.ldexp(self.high, exponent) - low
        constant = span == 0
        shifted = np.ldexp(np.clip(x, self.low, self.high), exponent) - low
        unit = np.where(constant, 0.5, shifted / np.where(constant, 1.0, span))
        start, stop = self.interval
        return np.clip(start + (stop - start) * unit, start, stop), int(outside.sum())


def fit_scaler(x: Values, interval: Interval) -> MinMaxScaler:
    """The scaler of the training rows `x`, (R, N) with R >= 1."""
    low, high = (edge.astype(np.float64) for edge in (x.min(axis=0), x.max(axis=0)))
    return MinMaxScaler(low=low, high=high, interval=interval)
