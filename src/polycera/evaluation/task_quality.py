"""Compute the quality of every task on one part of the rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.evaluation.at_threshold import HALF, at_threshold
from polycera.evaluation.confusion import confusion
from polycera.evaluation.precision_recall import POINTS, curve
from polycera.evaluation.reliability import reliability
from polycera.evaluation.residuals import DRAWN, coverage, residuals
from polycera.evaluation.thresholds import labels_of
from polycera.runs.results import Label, Quality, TaskQuality
from polycera.tasks import Binary, Layout, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

LABELS = 60
"""Most labels of a multilabel task that are shown: those with the most positive rows."""

NUMBERS = 12_000
"""Most points of all curves together, and most drawn rows of all charts, to limit the file size."""


def task_quality(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    part: str,
    thresholds: Mapping[TaskName, Array] | None = None,
    seed: int = 0,
) -> Quality:
    """Return curves, confusion, reliability and residuals of the predictions, task by task.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width] in the target's original scale, NaN where missing.
        predictions: task -> predictions [n, p], in the same scale.
        part: the name of the rows, such as "validation".
        thresholds: task -> decision thresholds, [labels]; a task without one predicts 1 above one
            half.
        seed: seed of the rows drawn for charts.
    """
    tasks = layout.tasks.values()
    shown = sum(min(len(labels_of(task)), LABELS) for task in tasks)
    points = int(np.clip(NUMBERS // max(shown, 1), 5, POINTS))
    drawn = int(np.clip(NUMBERS // len(tasks), 20, DRAWN))
    qualities = {}
    for task in tasks:
        y, p = truth[task.name], predictions[task.name]
        quality = TaskQuality(task.kind, int((~np.isnan(y)).any(axis=1).sum()))
        if labels_of(task):
            _of_labels(quality, task, y, p, (thresholds or {}).get(task.name), points)
        elif getattr(task, "soft", False):
            _of_shares(quality, task, y, p, drawn, seed)
        elif isinstance(task, ClassTask):
            _of_classes(quality, task, y[:, 0], p)
        else:
            _of_numbers(quality, task, y[:, 0], p, drawn, seed)
        qualities[task.name] = quality
    return Quality(part, qualities)


def _of_labels(
    quality: TaskQuality, task: Task, y: Array, p: Array, thresholds: Array | None, points: int
) -> None:
    """Fill in the quality of binary labels."""
    names = labels_of(task)
    shown = np.sort(np.argsort(-np.nansum(y, axis=0), kind="stable")[:LABELS])
    label_thresholds: list[float | None] = (
        [None] * len(names) if thresholds is None else thresholds.tolist()
    )
    quality.labels = [
        _label(names[i], y[:, i], p[:, i], label_thresholds[i], points) for i in shown.tolist()
    ]
    if isinstance(task, Binary):
        predicted = p[:, 0] >= (HALF if label_thresholds[0] is None else label_thresholds[0])
        quality.confusion = confusion(
            y[:, 0], np.where(np.isnan(p[:, 0]), np.nan, predicted), task.known_classes()
        )


def _label(name: str, y: Array, p: Array, threshold: float | None, points: int) -> Label:
    """Return the quality of one binary label."""
    labels = y[~np.isnan(y)]
    return Label(
        name=name,
        rows=len(labels),
        positives=int(labels.sum()),
        reliability=reliability(y, p),
        curve=curve(y, p, points),
        fitted=at_threshold(y, p, threshold),
        half=at_threshold(y, p),
    )


def _of_classes(quality: TaskQuality, task: ClassTask, y: Array, p: Array) -> None:
    """Fill in the quality of a task with hard classes."""
    labelled = ~np.isnan(y)
    y, p = y[labelled], p[labelled]
    chosen = task.choose(p)
    quality.confusion = confusion(y, chosen, task.known_classes())
    # clip: the probability of a class may leave [0, 1] by a rounding error
    quality.reliability = reliability(
        chosen == y, np.take_along_axis(p, chosen[:, None], 1)[:, 0].clip(0, 1)
    )


def _of_shares(quality: TaskQuality, task: Task, y: Array, p: Array, drawn: int, seed: int) -> None:
    """Fill in the residuals of all labels together; with classes, also the confusion of argmax."""
    quality.residuals = residuals(y.ravel(), p.ravel(), drawn, seed)
    if isinstance(task, ClassTask):
        labelled = ~np.isnan(y).any(axis=1)
        quality.confusion = confusion(
            y[labelled].argmax(axis=1), task.choose(p[labelled]), task.known_classes()
        )


def _of_numbers(
    quality: TaskQuality, task: Task, y: Array, p: Array, drawn: int, seed: int
) -> None:
    """Fill in the quality of a numeric task."""
    quality.residuals = residuals(y, task.answer(p), drawn, seed)
    if isinstance(task, Quantile):
        quality.coverage = coverage(y, p, task.quantiles)
