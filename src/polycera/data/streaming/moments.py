"""Add up mean, deviation and range of columns over stretches of rows, without losing digits."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from polycera.data.standardise import Floats

HUGE = 1e100
"""Values from which squares are computed in extended precision, as they would overflow."""
FIRST = 1_000
"""First values that are looked at alone: a column of fractions mostly shows itself there."""


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

    @classmethod
    def of(cls, block: Floats) -> Self:
        """Return the moments of rows [k, n], NaN where missing."""
        moments = cls(len(block))
        for column, values in enumerate(block):
            # The smallest of values with a NaN is NaN, so this one pass shows whether any is
            # missing. Most columns have none, and are not copied then.
            if values.size and np.isnan(values.min()):
                present = values[~np.isnan(values)]
            else:
                present = values
            moments.count[column] = len(present)
            moments.missing[column] = len(values) - len(present)
            if not len(present):
                continue
            low, high = float(present.min()), float(present.max())
            moments.low[column], moments.high[column] = low, high
            if not np.isfinite([low, high]).all():
                moments.mean[column] = np.nan  # whoever adds the rows refuses them
                continue
            moments.whole[column] = _are_whole(present)
            wide = max(abs(low), abs(high)) > HUGE
            exact = present.astype(np.longdouble) if wide else present
            mean = exact.mean()
            centred = exact - mean
            correction = centred.mean()  # the rounding error of the first sum
            squares = (centred * centred).sum() - len(present) * correction**2
            moments.mean[column], moments._squares[column] = mean + correction, squares
        return moments

    def add(self, block: Floats) -> None:
        """Add rows [k, n], NaN where missing."""
        self.merge(type(self).of(block))

    def merge(self, other: Moments) -> None:
        """Add the rows of other moments of the same columns.

        They are merged by means and sums of squared distances (Chan, Golub, LeVeque, "Updating
        formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        total = np.maximum(self.count + other.count, 1)
        distance = other.mean - self.mean
        self._squares += other._squares + distance.astype(np.longdouble) ** 2 * (
            self.count * (other.count / total)
        )
        self.mean = (self.mean + distance * (other.count / total)).astype(np.float64)
        self.count, self.missing = self.count + other.count, self.missing + other.missing
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.whole &= other.whole

    def merged(self, other: Moments) -> Moments:
        """Return the moments of the rows of both."""
        together = type(self)(len(self.count))
        together.merge(self)
        together.merge(other)
        return together

    @property
    def finite(self) -> bool:
        """Return whether all values were finite."""
        low, high = self.range
        return bool(np.isfinite(low).all() and np.isfinite(high).all())

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


def _are_whole(values: Floats) -> bool:
    """Return whether all values [n] are integers."""
    first = values[:FIRST]
    return bool((first == np.floor(first)).all()) and bool((values == np.floor(values)).all())
