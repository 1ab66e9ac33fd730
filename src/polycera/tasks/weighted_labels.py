"""Compute means, deviations and quantiles of labels that have sample weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polycera.typing import Array


def mean(encoded: Array, weights: Array | None) -> Array:
    """Return the mean of the known labels of each column, [width].

    Args:
        encoded: labels [n, width], NaN where missing.
        weights: sample weights [n], or None.
    """
    if weights is None:
        return np.asarray(np.nanmean(encoded, axis=0))
    known = ~np.isnan(encoded)
    total = np.where(known, weights[:, None], 0.0).sum(axis=0)
    # A column without a label gives NaN, as `nanmean` does.
    with np.errstate(invalid="ignore"):
        return np.asarray((np.where(known, encoded, 0.0) * weights[:, None]).sum(axis=0) / total)


def centre(encoded: Array, weights: Array | None) -> float:
    """Return the mean of the known labels of one column."""
    # `nanmean` over the whole array adds up in pairs, along an axis of [n, 1] it does not.
    return float(np.nanmean(encoded) if weights is None else mean(encoded, weights)[0])


def deviation(encoded: Array, weights: Array | None) -> float:
    """Return the standard deviation of the known labels of one column."""
    if weights is None:
        return float(np.nanstd(encoded))
    return float(np.sqrt(mean((encoded - mean(encoded, weights)) ** 2, weights)[0]))


def quantiles(labels: Array, levels: Sequence[float], weights: Array | None) -> Array:
    """Return quantiles of the known labels [n]; with weights those of the weighted distribution."""
    if weights is None:
        return np.asarray(np.nanquantile(labels, levels))
    known = ~np.isnan(labels)
    return np.asarray(
        np.quantile(labels[known], levels, weights=weights[known], method="inverted_cdf")
    )


def applied(method: Callable[..., Any], encoded: Array, weights: Array | None) -> Any:
    """Return what `prior` or `moments` of a task returns for labels with these weights.

    A kind that a user wrote may take no weights: it is given the rows whose weight is above 0.

    Args:
        method: bound method of a task.
        encoded: labels [n, width].
        weights: sample weights [n], or None.
    """
    if weights is None:
        return method(encoded)
    used = weights > 0
    if "weights" not in inspect.signature(method).parameters:
        return method(encoded[used])
    return method(encoded[used], weights[used])
