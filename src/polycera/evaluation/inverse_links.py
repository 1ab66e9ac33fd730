"""Find raw outputs that give known predictions: metrics are then computed without a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera import registered
from polycera.evaluation.metric_error import RawRows
from polycera.tasks import Layout, Task
from polycera.typing import Array, TaskName

SURE = 1e-16
"""Least distance of a probability from 0 and 1, so that its logit is finite."""
SMALL = 1e-300
"""Least probability or rate whose logarithm is taken."""


def invertible(task: Task) -> bool:
    """Return whether the raw outputs of a task follow from its predictions.

    A kind that somebody else wrote may have any link.
    """
    return task.kind in INVERSES and not registered.is_own(type(task))


def raw_rows(
    layout: Layout, labels: Mapping[TaskName, Array], predicted: Mapping[TaskName, Array]
) -> RawRows:
    """Return labels and predictions in the user's units as rows that metrics are computed of.

    Args:
        layout: the tasks, all of which are `invertible`.
        labels: task -> encoded labels [n, width], NaN where missing.
        predicted: task -> predictions [n, p] in the user's units.
    """
    y = np.concatenate([labels[name] for name in layout.tasks], axis=1)
    raw = np.concatenate(
        [
            INVERSES[task.kind](np.asarray(predicted[name], "float64"))
            for name, task in layout.tasks.items()
        ],
        axis=1,
    )
    # Squares around any constant give R2; the mean of these labels loses no digits.
    priors = [
        task.prior(labels[name]) if not np.isnan(labels[name]).all() else np.zeros(task.units)
        for name, task in layout.tasks.items()
    ]
    return RawRows(
        layout, y, raw, np.concatenate(priors).astype("float64"), np.ones(len(layout.tasks))
    )


def _same(p: Array) -> Array:
    return p


def _logit(p: Array) -> Array:
    p = np.clip(p, SMALL, 1.0 - SURE)
    return np.log(p) - np.log1p(-p)


def _log(p: Array) -> Array:
    return np.log(np.maximum(p, SMALL))


def _levels(p: Array) -> Array:
    """Return the raw outputs [n, levels - 1] of an ordinal task from its levels [n, levels]."""
    # The probability of more than a level, given that the level below it is reached.
    beyond = np.cumsum(p[:, ::-1], axis=1)[:, ::-1]
    return _logit(beyond[:, 1:] / np.maximum(beyond[:, :-1], SMALL))


INVERSES = {
    "regression": _same,
    "quantile": _same,
    "proportion": _logit,
    "binary": _logit,
    "multilabel": _logit,
    "multiclass": _log,
    "count": _log,
    "ordinal": _levels,
}
"""Kind -> function from predictions to raw outputs."""
