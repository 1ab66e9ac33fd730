"""Read sample weights from columns of a table, and class weights; weigh the rows of a training.

Everything that is fitted uses sample weights times class weights: the loss, kernel ridge, the
blend, calibration. Everything that is measured uses sample weights alone: metrics, skills, the
joint score, and decision thresholds, which maximise a metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polycera.data import Table
from polycera.data.coerce import as_kind
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import Layout, Multiclass, Multilabel, Ordinal, Task, class_weights
from polycera.tasks.layout import Encoded
from polycera.typing import Array, TaskName

Columns = str | Mapping[TaskName, str] | None
"""Column of the sample weights of all tasks, or a column for each task that has one."""


class RowWeights(NamedTuple):
    """Holds the weights of some rows.

    Attributes:
        sample: sample weights, [n, tasks], of mean 1 over the rows of each task that count; None
            where all rows count the same.
        classes: class weight of each label, [n, output columns]; None without any.
        scale: what the sample weights were divided by, [tasks]; None without sample weights.
    """

    sample: Array | None
    classes: Array | None
    scale: Array | None = None

    def of_labels(self, layout: Layout) -> Array | None:
        """Return sample weights times class weights, [n, output columns], or None."""
        if self.sample is None:
            return self.classes
        sample = self.sample[:, layout.owner]
        return sample if self.classes is None else sample * self.classes

    def by_name(self, layout: Layout) -> dict[TaskName, Array] | None:
        """Return the sample weights by task, as a model takes them, or None."""
        return None if self.sample is None else dict(zip(layout.tasks, self.sample.T, strict=True))

    def joined(self, other: RowWeights) -> RowWeights:
        """Return the weights of these rows and then of others."""
        classes = _stacked(self.classes, other.classes)
        if self.sample is None or self.scale is None or other.sample is None or other.scale is None:
            return RowWeights(None, classes)
        # As heavy beside each other as they are in the table, not in their own parts.
        sample = _stacked(self.sample * self.scale, other.sample * other.scale)
        assert sample is not None
        scale = sample.sum(axis=0) / np.maximum((sample > 0).sum(axis=0), 1)
        scale = np.where(scale > 0, scale, 1.0)
        return RowWeights(sample / scale, classes, scale)


def _stacked(first: Array | None, second: Array | None) -> Array | None:
    """Return rows and then others; None where there are none of either."""
    return None if first is None or second is None else np.concatenate([first, second])


def columns_of(chosen: Columns) -> list[str]:
    """Return the names of the columns that hold sample weights, each once."""
    if chosen is None:
        return []
    return [chosen] if isinstance(chosen, str) else list(dict.fromkeys(chosen.values()))


def read(table: Table, tasks: Iterable[Task], chosen: Columns) -> dict[TaskName, Array] | None:
    """Return task -> sample weights [rows], checked; None where no column was chosen.

    Raises:
        UnknownName: for a column that the table does not have, or a name that is no task.
        InputError: for a weight that is missing, below 0 or infinite, naming the row; for a column
            without a weight above 0.
    """
    if chosen is None:
        return None
    names = [task.name for task in tasks]
    if not isinstance(chosen, str):
        for name in chosen:
            if name not in names:
                raise UnknownName("task in sample_weight:", name, names)
    values = {column: _checked(table, column) for column in columns_of(chosen)}
    ones = np.ones(table.rows)
    if isinstance(chosen, str):
        return dict.fromkeys(names, values[chosen])
    return {name: values[chosen[name]] if name in chosen else ones for name in names}


def _checked(table: Table, column: str) -> Array:
    """Return the sample weights of a column, [rows]; see `read`."""
    weights = np.asarray(as_kind(table[column], "number", column), "float64")
    wanted = "every row needs a weight, a finite number of 0 or more; 0 leaves the row out"
    if np.isnan(weights).any():
        row = int(np.isnan(weights).argmax())
        raise InputError(f"Sample weight {shorten(column)!r} is missing in row {row}: {wanted}.")
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"Sample weight {shorten(column)!r} is {weights[row]:g} in row {row}: {wanted}."
        )
    if not (weights > 0).any():
        raise InputError(
            f"Sample weight {shorten(column)!r} is 0 in every row, so nothing would be learned: "
            "raise some, or leave sample_weight out."
        )
    return weights


def of_rows(
    tasks: Sequence[Task], weights: Mapping[TaskName, Array] | None, rows: Any, encoded: Encoded
) -> RowWeights:
    """Return the weights of some rows, as a training takes them.

    Args:
        tasks: as in the spec.
        weights: from `read`, for all rows of the table.
        rows: indices of the rows.
        encoded: their encoded labels.
    """
    layout = Layout.of(tasks)
    classes = _of_classes(layout, encoded)
    if weights is None:
        return RowWeights(None, classes)
    chosen = {name: weights[name][rows] for name in layout.tasks}
    scale = _scale(layout, chosen, encoded)
    sample = np.stack([chosen[name] for name in layout.tasks], axis=1) / scale
    return RowWeights(sample, classes, scale)


def normalised(
    layout: Layout, weights: Mapping[TaskName, Array] | None, encoded: Mapping[TaskName, Array]
) -> Array | None:
    """Return sample weights [n, tasks] of mean 1 over the rows of each task that count.

    So only their ratios matter, and a loss is the weighted mean over the rows. Rows count where
    they have a label and a weight above 0.
    """
    if weights is None:
        return None
    sample = np.stack([weights[name] for name in layout.tasks], axis=1)
    return np.asarray(sample / _scale(layout, weights, encoded))


def _scale(
    layout: Layout, weights: Mapping[TaskName, Array], encoded: Mapping[TaskName, Array]
) -> Array:
    """Return the mean sample weight of each task over the rows that count, [tasks]."""
    means = []
    for name in layout.tasks:
        values = weights[name]
        counted = ~np.isnan(encoded[name]).all(axis=1) & (values > 0)
        means.append(values[counted].mean() if counted.any() else 1.0)
    return np.array(means)


def _of_classes(layout: Layout, encoded: Encoded) -> Array | None:
    """Return the class weight of each label, [n, output columns]; None without class weights.

    It is 1 where a label is missing.
    """
    given = {name: getattr(task, "class_weight", None) for name, task in layout.tasks.items()}
    if all(weights is None for weights in given.values()):
        return None
    rows = len(next(iter(encoded.values())))
    factors = np.ones((rows, layout.units))
    for name, weights in given.items():
        if weights is None:
            continue
        labels, table = encoded[name], np.asarray(weights, "float64")
        known = ~np.isnan(labels)
        codes = np.where(known, labels, 0.0).astype("int64")
        if isinstance(layout.tasks[name], Multilabel):
            values = np.where(codes == 1, table[:, 1], table[:, 0])
        else:
            values = table[codes]
        factors[:, layout.raw_columns[name]] = np.where(known, values, 1.0)
    return factors


def with_class_weights(tasks: Iterable[Task], given: Mapping[TaskName, Any]) -> list[Task]:
    """Return the tasks with these class weights; tasks that are not named keep theirs.

    Args:
        tasks: as they are.
        given: task -> "balanced", {label: weight}, or a weight for each class.

    Raises:
        UnknownName: for a name that is no task, or a label that is none of its classes.
        InputError: for a task without classes, and for weights that are not finite and 0 or more.
    """
    by_name = {task.name: task for task in tasks}
    if not isinstance(given, Mapping):
        raise InputError(
            "class_weight is a dict of task name to 'balanced' or {label: weight}, got "
            f"{shorten(repr(given))}."
        )
    for name, weights in given.items():
        if name not in by_name:
            raise UnknownName("task in class_weight:", name, by_name)
        task = by_name[name]
        if not hasattr(task, "class_weight"):
            raise InputError(
                f"Task {shorten(name)!r} is {task.kind}; class_weight is for tasks with classes."
            )
        by_name[name] = task.replace(class_weight=weights)
    return list(by_name.values())


def resolved(
    tasks: Iterable[Task],
    labels: Mapping[TaskName, Array],
    rows: Any,
    weights: Mapping[TaskName, Array] | None,
) -> list[Task]:
    """Return the tasks with numbers in place of the class weights "balanced".

    Args:
        tasks: as they are.
        labels: task -> encoded labels of all rows of the table.
        rows: indices of the training rows, which decide the numbers.
        weights: task -> sample weights of all rows, which count as numbers of rows; or None.
    """
    complete = []
    for task in tasks:
        if getattr(task, "class_weight", None) == class_weights.BALANCED:
            encoded = labels[task.name][rows]
            counted = None if weights is None else weights[task.name][rows]
            task = task.replace(class_weight=_balanced(task, encoded, counted))
        complete.append(task)
    return complete


def _balanced(task: Task, encoded: Array, weights: Array | None) -> Any:
    """Return balanced class weights of a task from its labels [n, width]."""
    if isinstance(task, Multilabel):
        return [class_weights.balanced(column, 2, weights).tolist() for column in encoded.T]
    classes = task.units + 1 if isinstance(task, Ordinal) else 2
    if isinstance(task, Multiclass):
        classes = task.units
    return class_weights.balanced(encoded[:, 0], classes, weights).tolist()
