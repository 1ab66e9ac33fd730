"""Precision against recall, from threshold to threshold."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import answers
from polycera.runs.results import Curve
from polycera.typing import Array

POINTS = 60
"""Thresholds at most: more than a picture of a hand's width shows."""


def curve(truth: Array, probability: Array, points: int = POINTS) -> Curve:
    """Precision and recall where yes is said from a probability on, for thresholds among the probabilities.

    All distinct probabilities are thresholds; of more than `points`, those are kept that lie evenly
    between the ends, by their rank and by recall alike, so that a rare label is not shown by its
    many certain noes alone. Both ends are
    kept: the lowest probability, at which yes is always said, and the highest. Each point is exact.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: of 1, [n].
        points: thresholds at most, 2 or more.

    Returns:
        from the lowest threshold to the highest; recall is None without a single 1.

    Raises:
        InputError: for other labels, for what is no probability, for fewer points than 2.

    Examples:
        >>> import numpy as np
        >>> found = curve(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.6, 0.9]))
        >>> found.threshold, found.recall
        ([0.1, 0.4, 0.6, 0.9], [1.0, 1.0, 0.5, 0.5])
    """
    if points < 2:
        raise InputError(f"A curve needs 2 points or more, got {points}.")
    truth, probability = answers(truth, probability)
    threshold, place = np.unique(probability, return_inverse=True)
    true, called = (np.cumsum(np.bincount(place, weights)[::-1])[::-1] for weights in (truth, None))
    kept = _even(true / max(truth.sum(), 1.0), points)
    recall = (true[kept] / truth.sum()).tolist() if truth.any() else [None] * len(kept)
    return Curve(threshold[kept].tolist(), (true[kept] / called[kept]).tolist(), recall)


def _even(recall: Array, points: int) -> np.ndarray:
    """Indices of at most `points` of them, both ends among them."""
    if len(recall) <= points:
        return np.arange(len(recall))
    # grows from step to step: recall falls as the threshold rises
    way = np.linspace(0, 1, len(recall)) - recall
    return np.unique(
        np.searchsorted(way, np.linspace(way[0], way[-1], points)).clip(max=len(way) - 1)
    )
