"""What answers of yes or no are worth at one threshold."""

from __future__ import annotations

import numpy as np

from polycera.evaluation.masking import answers, share
from polycera.runs.results import ThresholdQuality
from polycera.typing import Array

HALF = float(np.nextafter(0.5, 1.0))
"""From here on a probability is above one half, which is where the metrics `accuracy` and `f1` say yes."""


def at_threshold(
    truth: Array, probability: Array, threshold: float | None = None
) -> ThresholdQuality:
    """Precision, recall, F1 and accuracy where yes is said from a probability on.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        probability: of 1, [n].
        threshold: yes is said at it and above; None: above one half, as the metrics of a task have
            it.

    Returns:
        None for what is not defined: precision where yes is never said, recall without a single 1.

    Raises:
        InputError: for other labels, for what is no probability.

    Examples:
        >>> import numpy as np
        >>> said(np.array([0, 1, 1, 1]), np.array([0.6, 0.3, 0.7, 0.9]), 0.65)
        Said(threshold=0.65, precision=1.0, recall=0.6666666666666666, f1=0.8, accuracy=0.75)
    """
    truth, probability = answers(truth, probability)
    yes = probability >= (HALF if threshold is None else threshold)
    true, called, positives = float(truth @ yes), float(yes.sum()), float(truth.sum())
    return ThresholdQuality(
        0.5 if threshold is None else float(threshold),
        share(true, called),
        share(true, positives),
        share(2 * true, called + positives),
        share(float((yes == truth).sum()), len(truth)),
    )
