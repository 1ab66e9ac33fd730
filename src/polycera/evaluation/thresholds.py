"""From which probability on yes is said: of every binary task, and of every label of a multilabel one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.evaluation.smoothed_thresholds import smoothed_thresholds
from polycera.evaluation.threshold_search import ThresholdSearch
from polycera.runs.results import Threshold, Thresholds
from polycera.tasks import Binary, Layout, Multilabel, Task
from polycera.typing import Array, TaskName

FEW = 10
"""Rows of each answer that it takes, of all labels together: of fewer, chance would choose the thresholds."""


def labels_of(task: Task) -> list[str]:
    """The positive class of a binary task, the labels of a multilabel one that are yes or no, else nothing."""
    if isinstance(task, Binary):
        return [str(task.known_classes()[1])]
    return (
        [str(label) for label in task.labels]
        if isinstance(task, Multilabel) and not task.soft
        else []
    )


def thresholds(
    layout: Layout,
    truth: Mapping[TaskName, Array],
    predictions: Mapping[TaskName, Array],
    metric: str = "f1",
    part: str = "validation",
) -> Thresholds:
    """The threshold of each label that should make the metric as high as possible on rows like these (`steady`).

    Labels learn from each other what the probabilities of this network are worth, so a rare one
    needs few rows of its own. A label without a yes or without a no among these rows keeps 0.5 and
    says so: `fitted` is False. So do all where fewer than ten answers are yes, or fewer than ten
        are no, of all labels together.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing.
        predictions: task -> probabilities [n, labels].
        metric: `f1`, `balanced_accuracy` or `accuracy`.
        part: what the rows are called.

    Returns:
        `reached` and `at_half` are the metric on these rows, on which the threshold was chosen too:
        what it is worth on others is a question to others.

    Raises:
        UnknownName: for another metric.
    """
    asked = [task for task in layout.tasks.values() if labels_of(task)]
    if not asked:
        return Thresholds({})
    y, p = (
        np.concatenate([own[task.name] for task in asked], axis=1) for own in (truth, predictions)
    )
    found, start = smoothed_thresholds(y, p, metric), 0
    many = min(found.positives.sum(), found.negatives.sum()) >= FEW
    tasks: dict[str, dict[str, Threshold]] = {}
    for task in asked:
        names = labels_of(task)
        own = ThresholdSearch(*(values[start : start + len(names)] for values in found))
        tasks[task.name] = dict(zip(names, _each(own, many, metric, part), strict=True))
        start += len(names)
    return Thresholds(tasks)


def _each(found: ThresholdSearch, many: bool, metric: str, part: str) -> list[Threshold]:
    enough = many & (np.minimum(found.positives, found.negatives) >= 1)
    value, reached = np.where(enough, found.value, 0.5), np.where(enough, found.reached, found.half)
    numbers = zip(
        value.tolist(), _defined(reached), _defined(found.half), enough.tolist(), strict=True
    )
    return [Threshold(at, metric, part, best, half, fitted) for at, best, half, fitted in numbers]


def _defined(values: Array) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]


def by_task(found: Thresholds, layout: Layout) -> dict[TaskName, Array]:
    """Task -> its thresholds [labels], in the order of its labels.

    Raises:
        UnknownName: for a task or a label that the network does not have.
        InputError: for a label without a threshold.
    """
    values = {}
    for name, own in found.tasks.items():
        labels = labels_of(layout.known(name, "task among the thresholds:"))
        for label in own:
            if label not in labels:
                raise UnknownName(
                    f"label of task {shorten(name)!r} among the thresholds:", label, labels
                )
        if absent := next((label for label in labels if label not in own), None):
            raise InputError(
                f"Task {shorten(name)!r} has no threshold for the label {shorten(absent)!r}."
            )
        values[name] = np.array([own[label].value for label in labels])
    return values
