"""Report numbers that are no longer finite: weights after an epoch, and predictions."""

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
"""Most numbers that are checked on the host; of more, their sum is checked on the device."""

ENORMOUS = 1e6
"""Loss weight above which a task is named as the likely cause of an overflow."""


def blamed_weight(weights: Mapping[str, float]) -> str | None:
    """Return a sentence on the largest loss weight if it is enormous, else None."""
    name = max(weights, key=lambda task: weights[task])
    if not weights[name] > ENORMOUS:
        return None
    return (
        f"The weight of task {shorten(name)!r} is {weights[name]:g}, and numbers overflow with "
        "it: give weights near 1, for only their ratios matter."
    )


def first_of(variables: Any) -> str | None:
    """Return the path of the first variable with a NaN or infinite number, or None."""
    float_variables = [variable for variable in variables if "float" in str(variable.dtype)]
    if not float_variables:
        return None
    # Few numbers are checked on the host, where nothing is compiled; of many, their sum is checked
    # on the device.
    few = sum(prod(variable.shape) for variable in float_variables) <= FEW
    if not few and backend.are_finite([ops.convert_to_tensor(v) for v in float_variables]):
        return None
    return next(
        (v.path for v in float_variables if not np.isfinite(ops.convert_to_numpy(v)).all()), None
    )


def after_epoch(model: Any) -> str | None:
    """Return one sentence if weights, statistics or the optimizer's moments are not finite.

    None if all are finite.
    """
    path = first_of(model.weights)
    subject = "weights are"
    if path is None:
        optimizer = model.optimizer
        path = first_of(getattr(optimizer, "variables", []))
        subject = "the optimizer's moments are"
    if path is None:
        return None
    return (
        f"After this epoch {subject} NaN or infinite, first in {shorten(path)!r} (learning rate "
        f"{_rate(model):g}): training cannot recover from this. pc.callbacks.Guard() stops before "
        "that step and names it; "
    ) + (
        blamed_weight({name: task.weight for name, task in model.tasks.items()})
        or "look for very large features, labels or sample weights, or lower the learning rate."
    )


def _rate(model: Any) -> float:
    """Return the learning rate."""
    return float(ops.convert_to_numpy(model.optimizer.learning_rate))


def check_answers(model: Any, raw: Array, source: bool) -> str | None:
    """Check raw outputs [n, columns] before they become predictions.

    Args:
        model: that computed them.
        raw: NaN in all columns of rows whose features are not finite, if they come from a source.
        source: whether the features come in batches that the host has not checked.

    Returns:
        A sentence if predictions are not finite because of the network, else None.

    Raises:
        InputError: for features that are NaN or infinite.
    """
    if np.isfinite(raw).all():
        return None
    not_finite_values = ~np.isfinite(raw)
    if weights := first_of(model.weights):
        return (
            "Predictions are not finite: weights of the model are NaN or infinite, first in "
            f"{shorten(weights)!r}; train it again, with pc.callbacks.Guard()."
        )
    if source and (lost_rows := np.isnan(raw).all(axis=1)).any():
        raise InputError(
            f"The features of {int(lost_rows.sum()):,} of {len(raw):,} rows are NaN or infinite, "
            f"the first in row {int(np.argmax(lost_rows))}, counted over the batches: fill them "
            "in before predicting."
        )
    names = [
        name
        for name, columns in model.layout.raw_columns.items()
        if not_finite_values[:, columns].any()
    ]
    return (
        f"Predictions of {listing(names, 5)} are not finite in "
        f"{int(not_finite_values.any(axis=1).sum()):,} of {len(raw):,} rows: the features or the "
        "weights are too large for the network's numbers."
    )
