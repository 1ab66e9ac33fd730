"""Compute metrics of binary predictions at one decision threshold."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.masking import binary_pairs, share
from polycera.runs.results import ThresholdQuality
from polycera.typing import Array

HALF = float(np.nextafter(0.5, 1.0))
"""Smallest number above one half: the metrics `accuracy` and `f1` predict 1 above one half."""


def at_threshold(
    truth: Array, probability: Array, threshold: float | None = None
) -> ThresholdQuality:
    """Return precision, recall, F1 and accuracy at a decision threshold.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: probability of 1, [n].
        threshold: class 1 is predicted at it and above; None: above one half, as in the metrics of
            a task.

    Returns:
        the four metrics; None for one that is not defined: precision where 1 is never predicted,
        recall without a single 1.

    Raises:
        InputError: for other labels, or numbers that are no probabilities.

    Examples:
        >>> import numpy as np
        >>> at_threshold(np.array([0, 1, 1, 1]), np.array([0.6, 0.3, 0.7, 0.9]), 0.65)
        ThresholdQuality(threshold=0.65, precision=1.0, recall=0.6666666666666666, f1=0.8, ...)
    """
    truth, probability = binary_pairs(truth, probability)
    predicted = probability >= (HALF if threshold is None else threshold)
    true, positive_predictions, positives = (
        float(truth @ predicted),
        float(predicted.sum()),
        float(truth.sum()),
    )
    return ThresholdQuality(
        0.5 if threshold is None else float(threshold),
        share(true, positive_predictions),
        share(true, positives),
        share(2 * true, positive_predictions + positives),
        share(float((predicted == truth).sum()), len(truth)),
    )
