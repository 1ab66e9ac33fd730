"""Offer NumPy functions under the names of `keras.ops`.

So one formula serves both the training step and the exact evaluation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import (
    abs,
    add,
    argmax,
    clip,
    concatenate,
    cumprod,
    equal,
    exp,
    expand_dims,
    expm1,
    floor,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    max,
    maximum,
    mean,
    minimum,
    multiply,
    ones_like,
    reshape,
    sort,
    square,
    stack,
    sum,
    take,
    where,
    zeros_like,
)

__all__ = [
    "abs",
    "add",
    "any",
    "argmax",
    "cast",
    "clip",
    "concatenate",
    "cumprod",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "floor",
    "greater",
    "greater_equal",
    "isfinite",
    "isnan",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "max",
    "maximum",
    "mean",
    "minimum",
    "multiply",
    "one_hot",
    "ones_like",
    "reshape",
    "segment_sum",
    "sigmoid",
    "softmax",
    "softplus",
    "sort",
    "square",
    "stack",
    "sum",
    "take",
    "where",
    "zeros_like",
]


def any(x: Any, axis: int | None = None) -> Any:
    """Return True where any element is true."""
    return np.any(x, axis=axis)


def cast(x: Any, dtype: str) -> Any:
    """Return `x` with the given dtype; every float dtype becomes float64 here."""
    return np.asarray(x).astype("float64" if dtype.startswith("float") else dtype)


def one_hot(x: Any, num_classes: int) -> Any:
    """Return integers [...] as one-hot vectors [..., num_classes] of 0 and 1."""
    return (np.asarray(x)[..., None] == np.arange(num_classes)).astype("float64")


def softplus(x: Any) -> Any:
    """Return log(1 + e^x) without overflow."""
    return np.logaddexp(0.0, x)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e^-x) without overflow."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, "float64")))


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return the logarithm of softmax without overflow."""
    x = np.asarray(x, "float64")
    # The result does not change, and no exponential is above 1.
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def softmax(x: Any, axis: int = -1) -> Any:
    """Return probabilities from logits."""
    return np.exp(log_softmax(x, axis))


def segment_sum(data: Any, segment_ids: Any, num_segments: int) -> Any:
    """Return the sum of `data` [n] in each segment, [num_segments]."""
    return np.bincount(segment_ids, weights=data, minlength=num_segments)
