"""Compute the metrics of predicted classes at the decision thresholds, not at one half.

A network has no thresholds while it trains, so its metrics of predicted classes are those at one
half. A run that predicts with fitted thresholds is measured here with the same thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.evaluation.decided_rows import decided_rows
from polycera.model.model import Model
from polycera.model.objective import Objective
from polycera.model.scores import Scores, exact
from polycera.model.targets import TargetScaling, pack
from polycera.tasks import Layout
from polycera.tasks.layout import Encoded
from polycera.typing import Array, TaskName


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
    rows = decided_rows(layout, truth, predictions, thresholds, prior, found, weights)
    if rows is None:
        return found
    scaling = TargetScaling(np.zeros(len(rows.scale)), rows.scale, rows.prior)
    objective = Objective(rows.layout, weighted_metrics=True)
    counted = objective.counted(len(rows.y), rows.weights)
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
