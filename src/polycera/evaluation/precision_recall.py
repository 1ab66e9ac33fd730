"""Compute the precision-recall curve of a binary label.

`sklearn.metrics.precision_recall_curve` has the same points. It refuses a label without rows and
warns of one without a 1, which are both common here: with guards it would be longer than these four
lines. The same holds for reliability and for the metrics at one threshold.
"""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import binary_pairs
from polycera.runs.results import Curve
from polycera.typing import Array

POINTS = 60
"""Most thresholds of a curve: more than a small chart can show."""


def curve(truth: Array, probability: Array, points: int = POINTS) -> Curve:
    """Return precision and recall for thresholds among the probabilities.

    All distinct probabilities are thresholds. Where there are more than `points`, the curve uses
    those that are evenly spaced by rank and recall together, so that a rare label is not shown by
    its many certain zeros alone. Both ends are always included: the lowest probability, at which 1
    is always predicted, and the highest. Each point is exact.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: probability of 1, [n].
        points: the most thresholds, 2 or more.

    Returns:
        the points from the lowest threshold to the highest; recall is None without a single 1.

    Raises:
        InputError: for other labels, numbers that are no probabilities, or fewer than 2 points.

    Examples:
        >>> import numpy as np
        >>> found = curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.6, 0.9]))
        >>> found.threshold, found.recall
        ([0.1, 0.4, 0.6, 0.9], [1.0, 1.0, 0.5, 0.5])
    """
    if points < 2:
        raise InputError(f"A curve needs 2 points or more, got {points}.")
    truth, probability = binary_pairs(truth, probability)
    threshold, index = np.unique(probability, return_inverse=True)
    # sums from the highest threshold down: all rows at or above it are predicted as 1
    true, positive_predictions = (
        np.cumsum(np.bincount(index, weights)[::-1])[::-1] for weights in (truth, None)
    )
    shown = _even(true / max(truth.sum(), 1.0), points)
    recall = (true[shown] / truth.sum()).tolist() if truth.any() else [None] * len(shown)
    return Curve(
        threshold[shown].tolist(), (true[shown] / positive_predictions[shown]).tolist(), recall
    )


def _even(recall: Array, points: int) -> np.ndarray:
    """Return the indices of at most `points` thresholds, both ends included."""
    if len(recall) <= points:
        return np.arange(len(recall))
    # rank minus recall grows with each threshold, because recall falls as the threshold rises;
    # `searchsorted` needs that
    distance = np.linspace(0, 1, len(recall)) - recall
    return np.unique(
        np.searchsorted(distance, np.linspace(distance[0], distance[-1], points)).clip(
            max=len(distance) - 1
        )
    )
