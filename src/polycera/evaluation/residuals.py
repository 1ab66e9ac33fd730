"""How far predicted numbers lie from the true ones, and how often quantiles hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import number, pairs, share
from polycera.runs.results import Coverage, Residuals
from polycera.typing import Array

BINS, DRAWN = 40, 300
"""Bins of a histogram and rows drawn for a picture, at most."""

TAIL = 0.01
"""Share of the rows at either end that does not decide how wide the bins are."""


def residuals(truth: Array, predicted: Array, drawn: int = DRAWN, seed: int = 0) -> Residuals:
    """True minus predicted, as a histogram of all rows, and some rows for a picture.

    The bins are of one width between the 1st and the 99th percentile; beyond lies one bin at either
    end, as wide as the furthest row asks: one wild row leaves the others visible, and none is left
    out.

    Args:
        truth: in the target's unit, NaN where missing; [n].
        predicted: [n].
        drawn: rows in the picture at most; all, where there are no more.
        seed: of the draw.

    Returns:
        without a row: no bin, and None as mean and deviation.

    Examples:
        >>> import numpy as np
        >>> found = residuals(np.array([1.0, 2.0, np.nan]), np.array([0.0, 4.0, 5.0]))
        >>> found.mean, found.deviation, sum(found.rows), found.true
        (-0.5, 1.5, 2, [1.0, 2.0])
    """
    truth, predicted = pairs(truth, predicted)
    with np.errstate(over="ignore"):
        known = np.isfinite(truth - predicted)
        truth, predicted = truth[known], predicted[known]
        left = truth - predicted
        mean, deviation = (number(left.mean()), number(left.std())) if len(left) else (None, None)
    edges = _edges(left)
    rows = np.bincount(np.searchsorted(edges[1:-1], left, side="right"), minlength=len(edges) - 1)[
        : len(edges) - 1
    ]
    picked = np.sort(
        np.random.default_rng(seed).choice(len(left), min(drawn, len(left)), replace=False)
    )
    return Residuals(
        edges.tolist(),
        rows.tolist(),
        mean,
        deviation,
        truth[picked].tolist(),
        predicted[picked].tolist(),
    )


def _edges(left: Array) -> Array:
    """Of at most `BINS` bins that hold every row, [bins + 1]."""
    if not len(left):
        return np.zeros(1)
    bins = int(np.clip(np.ceil(np.sqrt(len(left))), 1, BINS - 2))
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the end of their range
        low, high = np.quantile(left, [TAIL, 1 - TAIL])
        edges = np.unique(
            np.concatenate([[left.min(), left.max()], np.linspace(low, high, bins + 1)])
        )
    edges = edges[np.isfinite(edges)]
    if len(edges) > 1:
        return edges
    margin = max(abs(float(edges[0])), 1.0) * 1e-6  # all rows are off by the same
    return np.array([edges[0] - margin, edges[0] + margin])


def coverage(truth: Array, predicted: Array, levels: Sequence[float]) -> Coverage:
    """The share of rows at or below each predicted quantile: 0.9 of them, where the 0.9 quantile is right.

    Args:
        truth: NaN where missing; [n].
        predicted: [n, levels].
        levels: each between 0 and 1.

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
            f"Predictions of shape {list(predicted.shape)} are not one for each of {len(levels)} levels; "
            f"pass shape [n, {len(levels)}]."
        )
    each = (pairs(truth, column) for column in predicted.T)
    return Coverage(
        list(map(float, levels)), [share(float((rows <= at).sum()), len(rows)) for rows, at in each]
    )
