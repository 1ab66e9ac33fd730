"""Compute the points of the ROC curve and of the precision-recall curve of a binary label."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.masking import binary_pairs
from polycera.runs.findings import RankCurve
from polycera.typing import Array

POINTS = 101
"""Most points of a curve."""
DIGITS = 6
"""Decimals of a point: 200 tasks have 80,000 numbers."""


def rank_curve(truth: Array, probability: Array, points: int = POINTS) -> RankCurve | None:
    """Return both curves at the same thresholds, from high to low; None for a single class.

    Each point is exact, up to rounding. Where there are more thresholds than points, those are
    taken that are evenly spaced along the ROC curve. The first point is before any row is
    predicted.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: probability of 1, [n].
        points: the most points, 2 or more.

    Examples:
        >>> import numpy as np
        >>> curve = rank_curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.6, 0.9]))
        >>> curve.true_positive_rate, curve.false_positive_rate
        ([0.0, 0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    truth, probability = binary_pairs(truth, probability)
    positives, negatives = truth.sum(), (1 - truth).sum()
    if not positives or not negatives:
        return None
    threshold, index = np.unique(-probability, return_inverse=True)
    true = np.r_[0.0, np.cumsum(np.bincount(index, truth))]
    false = np.r_[0.0, np.cumsum(np.bincount(index, 1 - truth))]
    along = true / positives + false / negatives
    if len(along) > points:
        wanted = np.linspace(0.0, along[-1], points)
        shown = np.unique(np.searchsorted(along, wanted).clip(max=len(along) - 1))
    else:
        shown = np.arange(len(along))
    predicted = true + false
    precision = [
        round(t / p, DIGITS) if p else None
        for t, p in zip(true[shown].tolist(), predicted[shown].tolist(), strict=True)
    ]
    return RankCurve(
        np.round(np.r_[1.0, -threshold][shown], DIGITS).tolist(),
        np.round(false[shown] / negatives, DIGITS).tolist(),
        np.round(true[shown] / positives, DIGITS).tolist(),
        precision,
    )
