"""Can the probabilities be trusted? What was predicted against what came true."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import answers
from polycera.runs.results import Reliability
from polycera.typing import Array

BINS = 15
"""Bins of equal width, as in the paper."""


def reliability(truth: Array, probability: Array, bins: int = BINS) -> Reliability:
    """Predicted probability against observed frequency in bins of equal width, and their mean distance.

    Paper: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017,
        arXiv:1706.04599. There it is
    the confidence in the class that is said; here it is the probability of whatever `truth` tells,
    so that of one label it is the probability of yes, over all of 0 to 1. A bin holds its upper
    edge; the first holds 0 too.

    Args:
        truth: 1 where it came true, 0 where not, NaN where that is not known; [n].
        probability: that it would, [n].
        bins: how many.

    Returns:
        bins that hold a row; `ece` is None without one.

    Raises:
        InputError: for other labels, for what is no probability, for fewer bins than 1.

    Examples:
        >>> import numpy as np
        >>> found = reliability(np.array([0, 1, 1, 1]), np.array([0.5, 0.5, 0.9, 0.9]), bins=5)
        >>> found.predicted, found.observed, found.rows, round(found.ece, 6)
        ([0.5, 0.9], [0.5, 1.0], [2, 2], 0.05)
    """
    if bins < 1:
        raise InputError(f"Reliability needs 1 bin or more, got {bins}.")
    truth, probability = answers(truth, probability)
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
    rows = np.bincount(place, minlength=bins)
    held = rows > 0
    predicted = np.bincount(place, probability, bins)[held] / rows[held]
    observed = np.bincount(place, truth, bins)[held] / rows[held]
    error = float(np.abs(predicted - observed) @ rows[held] / len(truth)) if len(truth) else None
    return Reliability(predicted.tolist(), observed.tolist(), rows[held].tolist(), error)
