"""Give rows whose raw outputs are the predicted classes at decision thresholds.

The metrics' own threshold of one half then separates the classes as the decision thresholds do.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from polycera.evaluation.metric_error import RawRows
from polycera.tasks import Layout, Task
from polycera.tasks.metrics import TALLIES
from polycera.typing import Array, TaskName

DECIDED = {
    "binary": ("accuracy", "f1", "precision", "recall", "balanced_accuracy"),
    "multilabel": (
        "macro_f1",
        "micro_f1",
        "macro_precision",
        "micro_precision",
        "macro_recall",
        "micro_recall",
        "accuracy",
        "hamming",
        "subset_accuracy",
    ),
}
"""Metrics by kind that use predicted classes; the others use probabilities."""

SHOWN = {"binary": ("accuracy", "f1", "precision", "recall")}
"""Metrics that are computed whether a task names them or not."""


def decided_rows(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    thresholds: Mapping[TaskName, Array],
    prior: Array,
    names: Container[TaskName],
    weights: Array | None = None,
) -> RawRows | None:
    """Return the predicted classes as raw outputs of 1 and -1, with the metrics that use them.

    The metrics' own threshold of one half then separates the classes as the decision thresholds do.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing.
        predictions: task -> probabilities [n, labels].
        thresholds: task -> [labels]: the positive class is predicted at the threshold and above. A
            task that is not in it predicts it above one half.
        prior: raw outputs of the trivial predictors, [output columns].
        names: the tasks that are measured.
        weights: sample weights [n, tasks], or None.

    Returns:
        the rows; None where no task has such a metric.
    """
    measured = [
        _measured(task)
        for task in layout.tasks.values()
        if task.measured_as in DECIDED and task.name in names
    ]
    tasks = [task for task in measured if task is not None]
    if not tasks:
        return None
    decided_layout = Layout.of(tasks)
    signs = {
        name: _predicted(np.asarray(predictions[name]), thresholds.get(name))
        for name in decided_layout.tasks
    }
    y, raw = (
        np.concatenate([part[name] for name in decided_layout.tasks], axis=1)
        for part in (truth, signs)
    )
    trivial = np.concatenate([prior[layout.raw_columns[name]] for name in decided_layout.tasks])
    if weights is not None:
        positions = {name: i for i, name in enumerate(layout.tasks)}
        weights = weights[:, [positions[name] for name in decided_layout.tasks]]
    scale = np.ones(len(decided_layout.tasks))
    return RawRows(decided_layout, y, raw, trivial, scale, weights)


def _measured(task: Task) -> Task | None:
    """Return the task with its metrics of predicted classes alone; None where it has none."""
    metrics = TALLIES[task.measured_as].metrics
    candidates = [*task.metrics, *SHOWN.get(task.measured_as, ())]
    names = [
        name
        for name in dict.fromkeys(candidates)
        if name in DECIDED[task.measured_as] and name in metrics
    ]
    return task.replace(metrics=names) if names else None


def _predicted(probability: Array, thresholds: Array | None) -> Array:
    """Return raw outputs of 1 and -1 for the predicted classes, [n, labels].

    They are NaN where the network has no prediction.
    """
    positive = probability > 0.5 if thresholds is None else probability >= thresholds
    return np.where(np.isnan(probability), np.nan, np.where(positive, 1.0, -1.0))
