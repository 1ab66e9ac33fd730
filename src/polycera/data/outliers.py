"""Find outliers: cells so far from all others that they would decide the scale of their column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polycera.errors import shorten

Floats = NDArray[np.float64]

SHARE = 0.02
"""Share of a column's farthest cells that are tested as outliers (at least `LEAST` cells)."""
LEAST = 2
"""Fewest cells that are tested as outliers."""
TIMES = 100.0
"""Distance, in deviations of the other cells, from which a cell is an outlier."""
SAMPLE = 1_000
"""Values by which it is seen at little cost that a column has no outliers."""
FEWEST = 10
"""Fewest values of a column in which outliers are looked for."""


def limits(values: Floats) -> tuple[float, float] | None:
    """Return the range outside of which values [n] are outliers, or None where there are none.

    There are outliers where the few values farthest from the median make the deviation `TIMES` as
    large as it is without them. Scaled by it, all ordinary values would be nearly one number to a
    network.

    Args:
        values: finite or NaN.
    """
    present = values[~np.isnan(values)]
    if len(present) < FEWEST or _has_plainly_none(present):
        return None
    # Values near float64's limits overflow; the check below then returns None.
    with np.errstate(over="ignore", invalid="ignore"):
        median = float(np.median(present))
        distances = np.abs(present - median)
        few = _few(len(present))
        largest = np.argpartition(distances, len(distances) - few)
        others, farthest = present[largest[: len(distances) - few]], float(distances.max())
        spread = float(np.sqrt(np.mean((others - others.mean()) ** 2)))
        of_all = farthest * float(np.sqrt(np.mean((distances / max(farthest, 1e-300)) ** 2)))
    if not 0 < spread < np.inf or not of_all > TIMES * spread:
        return None
    return median - TIMES * spread, median + TIMES * spread


def _few(count: int) -> int:
    """Return how many of the farthest of some cells are tested as outliers."""
    return max(LEAST, int(SHARE * count))


def _has_plainly_none(values: Floats) -> bool:
    """Return true only where `limits` finds no outliers among values [n], none of them NaN.

    It costs a fifth of `limits`. Of the cells that are not tested, some lie below a value and some
    above a larger one, and that alone gives them a deviation; where the whole range is less than
    `TIMES` as large, no cell can be an outlier.
    """
    few, step = _few(len(values)), max(1, len(values) // SAMPLE)
    low, high = np.quantile(values[::step], (0.25, 0.75))
    below = np.count_nonzero(values <= low) - few
    above = np.count_nonzero(values >= high) - few
    if below <= 0 or above <= 0 or not low < high:
        return False
    share = below * above / (below + above) / (len(values) - few)
    with np.errstate(over="ignore"):
        # Half of the bound: rounding must not decide.
        return bool(values.max() - values.min() < 0.5 * TIMES * np.sqrt(share) * (high - low))


def counted(
    label: str,
    name: str,
    values: Floats,
    outside: NDArray[np.bool_],
    positions: NDArray[np.int64] | None = None,
) -> str:
    """Return the start of a sentence on outliers: how many, the farthest one and its row.

    Args:
        label, name: of the column.
        values: [n].
        outside: which of them are outliers, [n].
        positions: numbers of the rows, where the values are not those of all rows.
    """
    count = int(outside.sum())
    row = int(np.argmax(np.where(outside, np.abs(np.where(np.isnan(values), 0.0, values)), -1.0)))
    number = row if positions is None else int(positions[row])
    description = f"a value ({values[row]:g} in row {number})"
    if count > 1:
        description = f"{count} values (such as {values[row]:g} in row {number})"
    return f"{label} {shorten(name)!r} has {description}"


def notice(label: str, name: str, values: Floats) -> str | None:
    """Return the start of a sentence on outliers among values [n]; None where there are none."""
    bounds = limits(values)
    if bounds is None:
        return None
    return (
        f"{counted(label, name, values, (values < bounds[0]) | (values > bounds[1]))}"
        " far from all others"
    )
