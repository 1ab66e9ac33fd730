"""Which rows count: those with a label and with a prediction that is a number."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.typing import Array


def pairs(truth: Array, prediction: Array) -> tuple[Array, Array]:
    """Both without the rows in which one of them is NaN or infinite.

    Args:
        truth, prediction: [n] each.

    Raises:
        InputError: where they are not two columns of one length.
    """
    truth, prediction = np.asarray(truth, "float64"), np.asarray(prediction, "float64")
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise InputError(
            f"True labels of shape {list(truth.shape)} and predictions of shape {list(prediction.shape)} cannot be "
            "held against each other; pass two arrays of shape [n]."
        )
    known = np.isfinite(truth) & np.isfinite(prediction)
    return truth[known], prediction[known]


def answers(truth: Array, probability: Array) -> tuple[Array, Array]:
    """As `pairs`, for labels of 0 and 1 and the probability of 1.

    Raises:
        InputError: as `pairs`; for another label, or what is no probability.
    """
    truth, probability = pairs(truth, probability)
    if not np.isin(truth, (0.0, 1.0)).all():
        strange = truth[~np.isin(truth, (0.0, 1.0))][0]
        raise InputError(
            f"The true labels hold {strange:g}; expected 0, 1, or NaN where a label is missing."
        )
    if ((probability < 0) | (probability > 1)).any():
        strange = probability[(probability < 0) | (probability > 1)][0]
        raise InputError(f"The predictions hold {strange:g}; expected probabilities from 0 to 1.")
    return truth, probability


def share(part: float, whole: float) -> float | None:
    """part / whole; None where there is no whole."""
    return float(part / whole) if whole else None


def number(value: float) -> float | None:
    """The value; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
