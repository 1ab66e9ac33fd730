"""Add up mean, deviation and range of columns over stretches of rows, without losing digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polycera.data.standardise import Floats, ranges

HUGE = 1e100
"""Values from which squares are computed in extended precision, as they would overflow."""


class Moments:
    """Adds up the moments of k columns over blocks of rows.

    Args:
        columns: k.

    Attributes:
        count: [k], numbers of values that are not missing.
        missing: [k], numbers of missing values.
        mean: [k].
        low, high: [k], smallest and largest value; infinite while there is none.
        whole: bool [k], whether all values are integers.
    """

    def __init__(self, columns: int) -> None:
        self.count, self.missing = np.zeros(columns, "int64"), np.zeros(columns, "int64")
        self.mean, self._squares = np.zeros(columns), np.zeros(columns, np.longdouble)
        self.low, self.high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self.whole = np.ones(columns, bool)

    def add(self, block: Floats) -> None:
        """Add rows [k, n], NaN where missing.

        Blocks are merged by their means and sums of squared distances (Chan, Golub, LeVeque,
        "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        missing = np.isnan(block)
        count = (~missing).sum(axis=1)
        filled = np.where(missing, 0.0, block)
        wide = filled.astype(np.longdouble) if np.abs(filled).max(initial=0.0) > HUGE else filled
        divisor = np.maximum(count, 1)
        mean = wide.sum(axis=1) / divisor
        centred = np.where(missing, 0.0, wide - mean[:, None])
        correction = centred.sum(axis=1) / divisor  # the rounding error of the first sum
        squares = (centred**2).sum(axis=1) - count * correction**2
        mean = mean + correction
        total = np.maximum(self.count + count, 1)
        distance = mean - self.mean
        self._squares += squares + distance.astype(np.longdouble) ** 2 * (
            self.count * count / total
        )
        self.mean = (self.mean + distance * (count / total)).astype(np.float64)
        self.count, self.missing = self.count + count, self.missing + missing.sum(axis=1)
        low, high = ranges(block)
        self.low = np.where(count > 0, np.minimum(self.low, low), self.low)
        self.high = np.where(count > 0, np.maximum(self.high, high), self.high)
        self.whole &= (filled == np.floor(filled)).all(axis=1)

    @property
    def deviation(self) -> Floats:
        """Return the standard deviations [k]; 1 where nothing varies."""
        deviation = np.sqrt(self._squares / np.maximum(self.count, 1)).astype(np.float64)
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(self.mean)
        return np.where(constant, 1.0, deviation)

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """Return whether values are missing [k]."""
        return self.missing > 0

    @property
    def range(self) -> tuple[Floats, Floats]:
        """Return the smallest and largest values [k]; 0 and 0 where there is none."""
        empty = self.count == 0
        return np.where(empty, 0.0, self.low), np.where(empty, 0.0, self.high)
