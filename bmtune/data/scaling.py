"""Min-max scaling of features to the interval of an embedding, fitted on training rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
"""Lowest and highest value of a scaled feature."""


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

    def transform(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """The scaled rows, all inside the interval, and how many values lay outside the training range.

        A feature that is constant in training goes to the middle of the interval, whatever its value:
        nothing is known about its unit.

        Args:
            x: Rows in the units of the source, (R, N).

        Returns:
            The scaled rows (R, N) and the number of values that were clipped.
        """
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


def fit_scaler(x: NDArray[np.float64], interval: Interval) -> MinMaxScaler:
    """The scaler of the training rows `x`, (R, N) with R >= 1."""
    return MinMaxScaler(low=x.min(axis=0), high=x.max(axis=0), interval=interval)
