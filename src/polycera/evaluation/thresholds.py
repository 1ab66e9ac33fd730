"""Choose the decision threshold of every binary task and of every label of a multilabel task."""

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
"""Fewest labels of each class, over all labels together: with fewer, noise decides."""


def labels_of(task: Task) -> list[str]:
    """Return the labels of a task that have a threshold.

    That is the positive class of a binary task, all labels of a multilabel task with hard labels,
    and none for other tasks.
    """
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
    weights: Array | None = None,
) -> Thresholds:
    """Return thresholds that should maximise the metric on similar rows (`smoothed_thresholds`).

    Labels share a calibration of this network's probabilities, so a rare one needs few rows of its
    own. A label with a single class among these rows keeps 0.5, and its `fitted` is False. So do
    all labels where fewer than ten values of all labels together are 1, or fewer than ten are 0.

    Args:
        layout: the tasks.
        truth: task -> encoded labels [n, width], NaN where missing.
        predictions: task -> probabilities [n, labels].
        metric: `f1`, `balanced_accuracy` or `accuracy`.
        part: the name of the rows, such as "validation".
        weights: sample weights [n, tasks], of mean 1; None where every row counts once.

    Returns:
        the thresholds; `reached` and `at_half` are the metric on these rows. The threshold was
        chosen on the same rows, so other rows are needed to estimate the metric on new data.

    Raises:
        UnknownName: for another metric.
    """
    with_labels = [task for task in layout.tasks.values() if labels_of(task)]
    if not with_labels:
        return Thresholds({})
    y, p = (
        np.concatenate([by_name[task.name] for task in with_labels], axis=1)
        for by_name in (truth, predictions)
    )
    label_weights = None
    if weights is not None:
        positions = {name: i for i, name in enumerate(layout.tasks)}
        label_weights = np.concatenate(
            [
                np.repeat(weights[:, [positions[task.name]]], len(labels_of(task)), axis=1)
                for task in with_labels
            ],
            axis=1,
        )
    search, start = smoothed_thresholds(y, p, metric, label_weights), 0
    many = min(search.positives.sum(), search.negatives.sum()) >= FEW
    tasks: dict[str, dict[str, Threshold]] = {}
    for task in with_labels:
        names = labels_of(task)
        task_search = ThresholdSearch(*(values[start : start + len(names)] for values in search))
        tasks[task.name] = dict(
            zip(names, _label_thresholds(task_search, many, metric, part), strict=True)
        )
        start += len(names)
    return Thresholds(tasks)


def _label_thresholds(
    search: ThresholdSearch, many: bool, metric: str, part: str
) -> list[Threshold]:
    """Return the threshold of each label; 0.5 where there are too few rows."""
    enough = many & (np.minimum(search.positives, search.negatives) >= 1)
    value, reached = (
        np.where(enough, search.value, 0.5),
        np.where(enough, search.reached, search.half),
    )
    numbers = zip(
        value.tolist(), _defined(reached), _defined(search.half), enough.tolist(), strict=True
    )
    return [Threshold(at, metric, part, best, half, fitted) for at, best, half, fitted in numbers]


def _defined(values: Array) -> list[float | None]:
    """Return the values as a list; None in place of NaN, which JSON does not have."""
    return [value if value == value else None for value in values.tolist()]


def by_task(chosen: Thresholds | None, layout: Layout) -> dict[TaskName, Array]:
    """Return task -> its thresholds [labels], in the order of its labels; empty without any.

    Raises:
        UnknownName: for a task or a label that the network does not have.
        InputError: for a label without a threshold.
    """
    values: dict[TaskName, Array] = {}
    for name, task_thresholds in chosen.tasks.items() if chosen is not None else ():
        labels = labels_of(layout.known(name, "task among the thresholds:"))
        for label in task_thresholds:
            if label not in labels:
                raise UnknownName(
                    f"label of task {shorten(name)!r} among the thresholds:", label, labels
                )
        if absent := next((label for label in labels if label not in task_thresholds), None):
            raise InputError(
                f"Task {shorten(name)!r} has no threshold for the label {shorten(absent)!r}."
            )
        values[name] = np.array([task_thresholds[label].value for label in labels])
    return values
