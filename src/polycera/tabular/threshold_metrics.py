"""Metrics of the answers that are given: yes from each decision threshold on, not from one half.

A network that is measured while it trains has no thresholds yet, so its metrics of yes and no are
those at one half. A run that answers at fitted thresholds is measured here in the way in which it
answers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.model.objective import Objective
from polycera.model.scores import Scores, exact
from polycera.model.targets import TargetScaling
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
"""Metrics by kind that look at answers of yes and no; the others look at probabilities."""

SHOWN = {"binary": ("accuracy", "f1", "precision", "recall")}
"""Those that are measured whether a task names them or not."""


def decided(
    found: Scores,
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    thresholds: Mapping[TaskName, Array],
    prior: Array,
) -> Scores:
    """Return the scores with every metric of yes and no at the thresholds at which the run answers.

    Binary tasks get accuracy, F1, precision and recall, whether they name them or not; they come
    behind the task's own metrics, so that the headline stays the first.

    Args:
        found: of these rows, at one half.
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing.
        predictions: task -> probabilities [n, labels].
        thresholds: task -> [labels], yes at it and above; a task that is not in it says yes above
            one half.
        prior: raw outputs of the trivial predictors, [units].
    """
    tasks = {
        name: _measured(task) for name, task in layout.tasks.items() if task.measured_as in DECIDED
    }
    tasks = {name: task for name, task in tasks.items() if task is not None and name in found}
    if not tasks:
        return found
    own = Layout.of([task for task in tasks.values() if task is not None])
    answers = {
        name: _answers(np.asarray(predictions[name]), thresholds.get(name)) for name in own.tasks
    }
    y, raw = (
        np.concatenate([part[name] for name in own.tasks], axis=1) for part in (truth, answers)
    )
    trivial = np.concatenate([prior[layout.raw_columns[name]] for name in own.tasks])
    units = TargetScaling(np.zeros(len(own.tasks)), np.ones(len(own.tasks)), trivial)
    scores = exact(Objective(own), y, raw, np.ones((len(y), 1), bool), units)
    merged: Scores = {}
    for name, before in found.items():
        after = scores.get(name, {})
        merged[name] = {metric: after.get(metric, score) for metric, score in before.items()}
        merged[name] |= {metric: score for metric, score in after.items() if metric not in before}
    return merged


def _measured(task: Task) -> Task | None:
    """The task with its metrics of yes and no alone; None where it has none."""
    known = TALLIES[task.measured_as].metrics
    wanted = [*task.metrics, *SHOWN.get(task.measured_as, ())]
    names = [
        name
        for name in dict.fromkeys(wanted)
        if name in DECIDED[task.measured_as] and name in known
    ]
    return task.replace(metrics=names) if names else None


def _answers(probability: Array, thresholds: Array | None) -> Array:
    """Raw outputs that say yes and no as the run does, [n, labels]; NaN where the network says nothing."""
    yes = probability > 0.5 if thresholds is None else probability >= thresholds
    return np.where(np.isnan(probability), np.nan, np.where(yes, 1.0, -1.0))
