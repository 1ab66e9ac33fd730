"""The quality of every task on one part of the rows."""

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
"""Labels of a multilabel task that are shown: those with most positive rows, of which a picture says something."""

NUMBERS = 12_000
"""Points of all curves together, and drawn rows of all pictures, at most: a file of many tasks stays readable."""


def task_quality(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    part: str,
    thresholds: Mapping[TaskName, Array] | None = None,
    seed: int = 0,
) -> Quality:
    """How good the answers are, task by task.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width] in the user's units, NaN where missing.
        predictions: task -> [n, p], in the user's units.
        part: what the rows are called.
        thresholds: task -> from which probability on yes is said, [labels]; above one half, where
            there is none.
        seed: of the rows drawn for pictures.
    """
    tasks = layout.tasks.values()
    shown = sum(min(len(labels_of(task)), LABELS) for task in tasks)
    points = int(np.clip(NUMBERS // max(shown, 1), 5, POINTS))
    drawn = int(np.clip(NUMBERS // len(tasks), 20, DRAWN))
    found = {}
    for task in tasks:
        y, p = truth[task.name], predictions[task.name]
        own = TaskQuality(task.kind, int((~np.isnan(y)).any(axis=1).sum()))
        if labels_of(task):
            _of_labels(own, task, y, p, (thresholds or {}).get(task.name), points)
        elif getattr(task, "soft", False):
            _of_shares(own, task, y, p, drawn, seed)
        elif isinstance(task, ClassTask):
            _of_classes(own, task, y[:, 0], p)
        else:
            _of_numbers(own, task, y[:, 0], p, drawn, seed)
        found[task.name] = own
    return Quality(part, found)


def _of_labels(
    own: TaskQuality, task: Task, y: Array, p: Array, thresholds: Array | None, points: int
) -> None:
    names = labels_of(task)
    shown = np.sort(np.argsort(-np.nansum(y, axis=0), kind="stable")[:LABELS])
    at: list[float | None] = [None] * len(names) if thresholds is None else thresholds.tolist()
    own.labels = [_label(names[i], y[:, i], p[:, i], at[i], points) for i in shown.tolist()]
    if isinstance(task, Binary):
        yes = p[:, 0] >= (HALF if at[0] is None else at[0])
        own.confusion = confusion(
            y[:, 0], np.where(np.isnan(p[:, 0]), np.nan, yes), task.known_classes()
        )


def _label(name: str, y: Array, p: Array, threshold: float | None, points: int) -> Label:
    known = y[~np.isnan(y)]
    return Label(
        name=name,
        rows=len(known),
        positives=int(known.sum()),
        reliability=reliability(y, p),
        curve=curve(y, p, points),
        fitted=at_threshold(y, p, threshold),
        half=at_threshold(y, p),
    )


def _of_classes(own: TaskQuality, task: ClassTask, y: Array, p: Array) -> None:
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    chosen = task.choose(p)
    own.confusion = confusion(y, chosen, task.known_classes())
    own.reliability = reliability(
        chosen == y, np.take_along_axis(p, chosen[:, None], 1)[:, 0].clip(0, 1)
    )


def _of_shares(own: TaskQuality, task: Task, y: Array, p: Array, drawn: int, seed: int) -> None:
    """Residuals of all labels together; with classes, which has the largest share and which is said."""
    own.residuals = residuals(y.ravel(), p.ravel(), drawn, seed)
    if isinstance(task, ClassTask):
        known = ~np.isnan(y).any(axis=1)
        own.confusion = confusion(
            y[known].argmax(axis=1), task.choose(p[known]), task.known_classes()
        )


def _of_numbers(own: TaskQuality, task: Task, y: Array, p: Array, drawn: int, seed: int) -> None:
    own.residuals = residuals(y, task.answer(p), drawn, seed)
    if isinstance(task, Quantile):
        own.coverage = coverage(y, p, task.quantiles)
