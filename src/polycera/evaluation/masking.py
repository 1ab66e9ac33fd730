"""Select the rows with a label and a finite prediction, and check their values."""

from __future__ import annotations

import numpy as np

from polycera.errors import InputError
from polycera.typing import Array


def pairs(truth: Array, prediction: Array) -> tuple[Array, Array]:
    """Return labels and predictions without the rows in which one of them is NaN or infinite.

    Args:
        truth, prediction: [n] each.

    Raises:
        InputError: where they are not two columns of the same length.
    """
    truth, prediction = np.asarray(truth, "float64"), np.asarray(prediction, "float64")
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise InputError(
            f"True labels of shape {list(truth.shape)} and predictions of shape "
            f"{list(prediction.shape)} cannot be compared; pass two arrays of shape [n]."
        )
    defined = np.isfinite(truth) & np.isfinite(prediction)
    return truth[defined], prediction[defined]


def binary_pairs(truth: Array, probability: Array) -> tuple[Array, Array]:
    """Return what `pairs` returns, for labels of 0 and 1 and the probability of 1.

    Raises:
        InputError: as in `pairs`; for another label, or a number that is no probability.
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


def share(numerator: float, denominator: float) -> float | None:
    """Return part / whole; None where whole is 0."""
    return float(numerator / denominator) if denominator else None


def number(value: float) -> float | None:
    """Return the value; None where it is not finite."""
    return float(value) if np.isfinite(value) else None
