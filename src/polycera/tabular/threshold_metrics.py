"""Compute the metrics of predicted classes at the decision thresholds, not at one half.

A network has no thresholds while it trains, so its metrics of predicted classes are those at one
half. A run that predicts with fitted thresholds is measured here with the same thresholds.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from polycera.evaluation import RawRows
from polycera.model.model import Model
from polycera.model.objective import Objective
from polycera.model.scores import Scores, exact
from polycera.model.targets import TargetScaling, pack
from polycera.tasks import Layout, Task
from polycera.tasks.layout import Encoded
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


def decided(
    found: Scores,
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    thresholds: Mapping[TaskName, Array],
    prior: Array,
    weights: Array | None = None,
) -> Scores:
    """Return the scores with every metric of predicted classes at the run's decision thresholds.

    Binary tasks get accuracy, F1, precision and recall, whether they name them or not. These come
    after the task's own metrics, so that the headline stays the first.

    Args:
        found: scores of these rows, at one half.
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing.
        predictions: task -> probabilities [n, labels].
        thresholds: task -> [labels]: the positive class is predicted at the threshold and above. A
            task that is not in it predicts it above one half.
        prior: raw outputs of the trivial predictors, [output columns].
        weights: sample weights [n, tasks], by which metrics count the rows; or None.
    """
    rows = decided_rows(layout, truth, predictions, thresholds, prior, found)
    if rows is None:
        return found
    scaling = TargetScaling(np.zeros(len(rows.scale)), rows.scale, rows.prior)
    objective = Objective(rows.layout, weighted_metrics=True)
    if weights is not None:
        positions = {name: i for i, name in enumerate(layout.tasks)}
        weights = weights[:, [positions[name] for name in rows.layout.tasks]]
    counted = objective.counted(len(rows.y), weights)
    scores = exact(objective, rows.y, rows.raw, counted, scaling)
    merged: Scores = {}
    for name, half_scores in found.items():
        threshold_scores = scores.get(name, {})
        merged[name] = {
            metric: threshold_scores.get(metric, score) for metric, score in half_scores.items()
        }
        merged[name] |= {
            metric: score for metric, score in threshold_scores.items() if metric not in half_scores
        }
    return merged


def decided_rows(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    thresholds: Mapping[TaskName, Array],
    prior: Array,
    names: Container[TaskName],
) -> RawRows | None:
    """Return the predicted classes as raw outputs of 1 and -1, with the metrics that use them.

    The metrics' own threshold of one half then separates the classes as the decision thresholds do.

    Args:
        layout, truth, predictions, thresholds, prior: as for `decided`.
        names: the tasks that are measured.

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
    return RawRows(decided_layout, y, raw, trivial, np.ones(len(decided_layout.tasks)))


def scored(
    model: Model,
    targets: Encoded,
    raw: Array,
    predicted: Mapping[TaskName, Array],
    thresholds: Mapping[TaskName, Array],
    weights: Array | None = None,
) -> Scores:
    """Return every metric of raw outputs, with those of predicted classes at the thresholds.

    Args:
        model: knows losses and target scaling.
        targets: encoded labels.
        raw: raw outputs [n, output columns] for the same rows.
        predicted: task -> the predictions [n, p] that these are, in the user's units.
        thresholds, weights: as for `decided`.
    """
    at_half = model.scores_of(pack(model.layout, targets, model.units), raw, weights)
    return decided(
        at_half, model.layout, targets, predicted, thresholds, model.units.prior, weights
    )


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
