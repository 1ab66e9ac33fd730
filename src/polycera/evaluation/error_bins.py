"""Describe the errors of predicted numbers by counts and percentiles, without any row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from polycera.evaluation.masking import number, pairs
from polycera.runs.findings import ErrorFacts
from polycera.typing import Array

BINS = 40
"""Most bins of the histogram."""
GROUPS = 10
"""Most groups of rows with similar predictions."""
FEWEST = 20
"""Fewest rows of a group: a percentile of fewer rows would be near a single row."""
TAIL = 0.01
"""Share of the rows at either end that lie outside of the histogram."""
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Widths of bins, times a power of ten."""


def error_bins(truth: Array, predicted: Array) -> ErrorFacts | None:
    """Return the errors, true minus predicted, as a histogram and by size of the prediction.

    The edges are round numbers, so that none of them is the error of a row.

    Args:
        truth: true numbers, NaN where missing; [n].
        predicted: predicted numbers, [n].

    Returns:
        the errors; None without a row.

    Examples:
        >>> import numpy as np
        >>> found = error_bins(np.arange(100.0), np.arange(100.0) + np.tile([1.0, -1.0], 50))
        >>> found.mean, found.half, sum(found.rows) + found.below + found.above, found.count
        (0.0, 1.0, 100, [20, 20, 20, 20, 20])
    """
    truth, predicted = pairs(truth, predicted)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = truth - predicted
    defined = np.isfinite(errors)
    errors, predicted = errors[defined], predicted[defined]
    if not len(errors):
        return None
    edges = _edges(errors)
    rows = np.histogram(errors, edges)[0]
    below, above = int((errors < edges[0]).sum()), int((errors > edges[-1]).sum())
    sizes = np.quantile(np.abs(errors), [0.5, 0.9])
    groups: dict[str, Any] = _groups(errors, predicted)
    with np.errstate(over="ignore"):
        mean, deviation = number(errors.mean()), number(errors.std())
    return ErrorFacts(
        edges=edges.tolist(),
        rows=rows.tolist(),
        below=below,
        above=above,
        mean=mean,
        deviation=deviation,
        half=_rounded(sizes[0]),
        ninety=_rounded(sizes[1]),
        **groups,
    )


def _edges(errors: Array) -> Array:
    """Return round edges of at most `BINS` bins, from the 1st to the 99th percentile."""
    low, high = (float(value) for value in np.quantile(errors, [TAIL, 1 - TAIL]))
    wanted = int(np.clip(math.ceil(math.sqrt(len(errors))), 1, BINS - 2))
    width = (high - low) / wanted
    if not width > 1e-12 * max(abs(low), abs(high), 1e-300) or not math.isfinite(width):
        width = max(abs(low), 1.0) * 1e-3
    power = 10.0 ** math.floor(math.log10(width))
    step = next(nice * power for nice in NICE if nice * power >= width * (1 - 1e-9))
    first, last = math.floor(low / step), math.ceil(high / step)
    # Rounded to the digits of the step: 3 * 0.1 is not 0.3.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return np.round(np.arange(first, max(last, first + 1) + 1) * step, min(digits, 300))


def _groups(errors: Array, predicted: Array) -> dict[str, list[float]]:
    """Return mean prediction, rows and percentiles of the errors, by size of the prediction."""
    found: dict[str, list[float]] = {
        name: [] for name in ("predicted", "count", "low", "middle", "high")
    }
    count = min(GROUPS, len(errors) // FEWEST)
    if not count:
        return found
    for rows in np.array_split(np.argsort(predicted, kind="stable"), count):
        low, middle, high = np.quantile(errors[rows], [0.1, 0.5, 0.9])
        values = (predicted[rows].mean(), len(rows), low, middle, high)
        for (name, column), value in zip(found.items(), values, strict=True):
            column.append(len(rows) if name == "count" else _rounded(value) or 0.0)
    return found


def _rounded(value: float) -> float | None:
    """Return a number with four digits; None where it is not finite."""
    return float(f"{value:.4g}") if np.isfinite(value) else None
