"""Find cells so far from all others that they would decide the scale of their column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polycera.errors import shorten

Floats = NDArray[np.float64]

SHARE = 0.02
"""The farthest cells of a column, at most so many or `LEAST`, are looked at apart from the others."""
LEAST = 2
TIMES = 100.0
"""Cells so many deviations of the others away count as outliers, where they decide the column's deviation."""
FEWEST = 10
"""Values that a column must have before any of them can be called far from the others."""


def limits(values: Floats) -> tuple[float, float] | None:
    """Return the range outside of which values [n] are outliers, or None where there are none.

    A value is one where the few farthest from the median make the deviation `TIMES` as large as it
    is without them: all ordinary values would then be nearly one number to a network.

    Args:
        values: finite or NaN.
    """
    present = values[~np.isnan(values)]
    if len(present) < FEWEST:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        median = float(np.median(present))
        off = np.abs(present - median)
        few = max(LEAST, int(SHARE * len(present)))
        largest = np.argpartition(off, len(off) - few)
        others, farthest = present[largest[: len(off) - few]], float(off.max())
        spread = float(np.sqrt(np.mean((others - others.mean()) ** 2)))
        of_all = farthest * float(np.sqrt(np.mean((off / max(farthest, 1e-300)) ** 2)))
    if not 0 < spread < np.inf or not of_all > TIMES * spread:
        return None
    return median - TIMES * spread, median + TIMES * spread


def counted(what: str, name: str, values: Floats, outside: NDArray[np.bool_]) -> str:
    """Return the beginning of a sentence on outliers: how many there are, the farthest and its row."""
    count = int(outside.sum())
    row = int(np.argmax(np.where(outside, np.abs(np.where(np.isnan(values), 0.0, values)), -1.0)))
    which = f"a value ({values[row]:g} in row {row})"
    if count > 1:
        which = f"{count} values (such as {values[row]:g} in row {row})"
    return f"{what} {shorten(name)!r} has {which}"


def notice(what: str, name: str, values: Floats) -> str | None:
    """Return the same of the values [n] that are far from all others; None where none are."""
    found = limits(values)
    if found is None:
        return None
    return f"{counted(what, name, values, (values < found[0]) | (values > found[1]))} far from all others"
