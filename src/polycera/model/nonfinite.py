"""What is to be said where numbers are no longer finite: of weights after an epoch, of answers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from keras import ops

from polycera.errors import InputError, listing, shorten
from polycera.layers import backend
from polycera.typing import Array

FEW = 2**22
"""Numbers that are looked at on the host."""

ENORMOUS = 1e6
"""A weight of a task above which it is named as what makes a loss or a gradient overflow."""


def blamed_weight(weights: Mapping[str, float]) -> str | None:
    """Return a sentence on the largest weight of a task where it is enormous; None where all are usual."""
    name = max(weights, key=lambda task: weights[task])
    if not weights[name] > ENORMOUS:
        return None
    return (
        f"The weight of task {shorten(name)!r} is {weights[name]:g}, beside which numbers overflow: "
        "give weights near 1, of which the ratios count."
    )


def first_of(variables: Any) -> str | None:
    """Return the path of the first variable that holds a NaN or infinite number; None where all are finite."""
    kept = [variable for variable in variables if "float" in str(variable.dtype)]
    if not kept:
        return None
    # few numbers are looked at on the host, where nothing is compiled; of many, their sum on the
    # device
    few = sum(prod(variable.shape) for variable in kept) <= FEW
    if not few and backend.are_finite([ops.convert_to_tensor(v) for v in kept]):
        return None
    return next((v.path for v in kept if not np.isfinite(ops.convert_to_numpy(v)).all()), None)


def after_epoch(model: Any) -> str | None:
    """Return one sentence where weights, statistics or the optimizer's moments are not finite; None where all are."""
    bad = first_of(model.weights)
    what = "weights are"
    if bad is None:
        optimizer = model.optimizer
        bad = first_of(getattr(optimizer, "variables", []))
        what = "the optimizer's moments are"
    if bad is None:
        return None
    return (
        f"After this epoch {what} NaN or infinite, the first of {shorten(bad)!r} (learning rate {_rate(model):g}): "
        "the training is lost from there. pc.callbacks.Guard() stops before that step and names it; "
    ) + (
        blamed_weight({name: task.weight for name, task in model.tasks.items()})
        or "look for enormous features, labels or sample weights, or lower the learning rate."
    )


def _rate(model: Any) -> float:
    return float(ops.convert_to_numpy(model.optimizer.learning_rate))


def check_answers(model: Any, raw: Array, source: bool) -> str | None:
    """Look at raw outputs [n, units] before they are made answers of.

    Args:
        model: that gave them.
        raw: NaN in all columns of rows whose features are not finite, where they come from a
            source.
        source: whether the features come in batches that the host has not looked at.

    Returns:
        a sentence where answers are not finite because of the network, else None.

    Raises:
        InputError: for features that are NaN or infinite.
    """
    if np.isfinite(raw).all():
        return None
    bad = ~np.isfinite(raw)
    if weights := first_of(model.weights):
        return (
            f"Predictions are not finite: weights of the model are NaN or infinite, the first of {shorten(weights)!r}; "
            "train it anew, with pc.callbacks.Guard()."
        )
    if source and (lost := np.isnan(raw).all(axis=1)).any():
        raise InputError(
            f"The features of {int(lost.sum()):,} of {len(raw):,} rows are NaN or infinite, the first in row "
            f"{int(np.argmax(lost))}, counted over the batches: fill them in before predicting."
        )
    names = [name for name, columns in model.layout.raw_columns.items() if bad[:, columns].any()]
    return (
        f"Predictions of {listing(names, 5)} are not finite in {int(bad.any(axis=1).sum()):,} of {len(raw):,} rows: "
        "the features or the weights are too large for the network's numbers."
    )


def not_finite(model: Any) -> str | None:
    """The name of the first variable that holds a NaN or infinite number; None where all are finite."""
    kept = [v for v in model.weights if "float" in str(v.dtype)]
    if backend.are_finite([ops.convert_to_tensor(v) for v in kept]):
        return None
    return next((v.path for v in kept if not np.isfinite(ops.convert_to_numpy(v)).all()), None)
