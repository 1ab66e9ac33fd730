"""Compute residuals of numeric predictions and the coverage of quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import number, pairs, share
from polycera.runs.results import Coverage, Residuals
from polycera.typing import Array

BINS = 40
"""Most bins of a histogram."""
DRAWN = 300
"""Most rows drawn for a chart."""

TAIL = 0.01
"""Share of the rows at either end that the bin width ignores."""


def residuals(truth: Array, predicted: Array, drawn: int = DRAWN, seed: int = 0) -> Residuals:
    """Return true minus predicted as a histogram of all rows, and some rows for a chart.

    The bins have the same width between the 1st and the 99th percentile. One more bin at either end
    reaches to the furthest row. So an outlier does not hide the other rows, and no row is left out.

    Args:
        truth: true numbers in the unit of the target, NaN where missing; [n].
        predicted: predicted numbers, [n].
        drawn: the most rows in the chart; all rows if there are fewer.
        seed: seed of the draw.

    Returns:
        the histogram and the drawn rows; without a row: no bin, and None as mean and deviation.

    Examples:
        >>> import numpy as np
        >>> found = residuals(np.array([1.0, 2.0, np.nan]), np.array([0.0, 4.0, 5.0]))
        >>> found.mean, found.deviation, sum(found.rows), found.true
        (-0.5, 1.5, 2, [1.0, 2.0])
    """
    truth, predicted = pairs(truth, predicted)
    with np.errstate(over="ignore"):
        defined = np.isfinite(truth - predicted)
        truth, predicted = truth[defined], predicted[defined]
        differences = truth - predicted
        mean, deviation = (
            (number(differences.mean()), number(differences.std()))
            if len(differences)
            else (None, None)
        )
    edges = _edges(differences)
    rows = np.bincount(
        np.searchsorted(edges[1:-1], differences, side="right"), minlength=len(edges) - 1
    )[: len(edges) - 1]
    drawn_rows = np.sort(
        np.random.default_rng(seed).choice(
            len(differences), min(drawn, len(differences)), replace=False
        )
    )
    return Residuals(
        edges.tolist(),
        rows.tolist(),
        mean,
        deviation,
        truth[drawn_rows].tolist(),
        predicted[drawn_rows].tolist(),
    )


def _edges(left: Array) -> Array:
    """Return the edges of at most `BINS` bins that hold every row, [bins + 1]."""
    if not len(left):
        return np.zeros(1)
    bins = int(np.clip(np.ceil(np.sqrt(len(left))), 1, BINS - 2))
    # numbers near the limit of float64 overflow here; their edges are removed below
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.quantile(left, [TAIL, 1 - TAIL])
        edges = np.unique(
            np.concatenate([[left.min(), left.max()], np.linspace(low, high, bins + 1)])
        )
    edges = edges[np.isfinite(edges)]
    if len(edges) > 1:
        return edges
    # all rows have the same residual: one narrow bin around it
    margin = max(abs(float(edges[0])), 1.0) * 1e-6
    return np.array([edges[0] - margin, edges[0] + margin])


def coverage(truth: Array, predicted: Array, levels: Sequence[float]) -> Coverage:
    """Return the share of rows at or below each predicted quantile.

    Where the 0.9 quantile is right, it is 0.9.

    Args:
        truth: true numbers, NaN where missing; [n].
        predicted: predicted quantiles, [n, levels].
        levels: levels of the quantiles, each between 0 and 1.

    Raises:
        InputError: where there is not one prediction for each level.

    Examples:
        >>> import numpy as np
        >>> coverage(np.array([1.0, 2.0]), np.array([[0.5, 1.5], [1.5, 2.5]]), [0.1, 0.9]).observed
        [0.0, 1.0]
    """
    predicted = np.asarray(predicted, "float64")
    if predicted.ndim != 2 or predicted.shape[1] != len(levels):
        raise InputError(
            f"Predictions of shape {list(predicted.shape)} are not one for each of {len(levels)} "
            f"levels; pass shape [n, {len(levels)}]."
        )
    columns = (pairs(truth, column) for column in predicted.T)
    return Coverage(
        list(map(float, levels)),
        [
            share(float((true_values <= quantile).sum()), len(true_values))
            for true_values, quantile in columns
        ],
    )
