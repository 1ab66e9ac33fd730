"""Compare predicted probabilities with observed frequencies."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.evaluation.masking import binary_pairs
from polycera.runs.results import Reliability
from polycera.typing import Array

BINS = 15
"""Number of bins of equal width, as in the paper (Guo 2017)."""


def reliability(truth: Array, probability: Array, bins: int = BINS) -> Reliability:
    """Return predicted probability and observed frequency in bins, and their mean distance.

    Paper: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017,
    arXiv:1706.04599. The paper uses the confidence in the predicted class. Here it is the
    probability of the event in `truth`: for a binary label the probability of 1, from 0 to 1. All
    bins have the same width. A bin includes its upper edge; the first one includes 0 too.

    Args:
        truth: 1 where the event happened, 0 where not, NaN where that is not known; [n].
        probability: probability of the event, [n].
        bins: number of bins.

    Returns:
        the bins that hold a row; `ece` is None without any row.

    Raises:
        InputError: for other labels, numbers that are no probabilities, or fewer than 1 bin.

    Examples:
        >>> import numpy as np
        >>> found = reliability(np.array([0, 1, 1, 1]), np.array([0.5, 0.5, 0.9, 0.9]), bins=5)
        >>> found.predicted, found.observed, found.rows, round(found.ece, 6)
        ([0.5, 0.9], [0.5, 1.0], [2, 2], 0.05)
    """
    if bins < 1:
        raise InputError(f"Reliability needs 1 bin or more, got {bins}.")
    truth, probability = binary_pairs(truth, probability)
    bin_of_row = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
    rows = np.bincount(bin_of_row, minlength=bins)
    filled = rows > 0
    predicted = np.bincount(bin_of_row, probability, bins)[filled] / rows[filled]
    observed = np.bincount(bin_of_row, truth, bins)[filled] / rows[filled]
    error = float(np.abs(predicted - observed) @ rows[filled] / len(truth)) if len(truth) else None
    return Reliability(predicted.tolist(), observed.tolist(), rows[filled].tolist(), error)
