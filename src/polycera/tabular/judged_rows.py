"""Read the labels and predictions of the rows on which a run is judged, without its network.

The predictions are those of `predictions.csv`, so every number that is computed of them belongs to
the scores of `metrics.json`. What that file does not have is read again from the table: labels of
multilabel tasks, sample weights, groups, amounts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.errors import Damaged
from polycera.runs import Folder, folder, manifest
from polycera.tabular.prediction_columns import number_names
from polycera.tabular.prepare import PreparedTable
from polycera.tasks import Layout, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

SIZE = 2**28
"""Most bytes of the predictions: 256 MB."""


@dataclass(frozen=True)
class JudgedRows:
    """Holds the rows on which a run is judged.

    Attributes:
        part: test, validation or train.
        count: number of rows.
        labels: task -> encoded labels [n, width], NaN where missing. A task whose labels are not
            known is left out.
        predicted: task -> predictions [n, p] in the user's units.
        indices: of these rows in the table, [n]; None where the table was not read.
        groups: code of each row's group, [n]; None where each row is its own.
        weights: task -> sample weights [n]; None where all rows count the same.
    """

    part: str
    count: int
    labels: dict[TaskName, Array]
    predicted: dict[TaskName, Array]
    indices: Any = None
    groups: Any = None
    weights: dict[TaskName, Array] | None = None

    def labelled(self, name: TaskName) -> int:
        """Return the number of rows with a label of a task."""
        return int((~np.isnan(self.labels[name])).any(axis=1).sum())


def judged_rows(
    run: Folder, part: str, tasks: Sequence[Task], prepared: PreparedTable | None
) -> JudgedRows:
    """Return the rows on which a run is judged.

    Args:
        run: a finished run.
        part: name of the rows.
        tasks: of the run.
        prepared: the run's table; None where it cannot be read.

    Raises:
        PolyceraError: where the predictions are damaged.
    """
    columns = _columns(run)
    try:
        predicted = {task.name: _predictions(task, columns) for task in tasks}
        labels = {
            task.name: _labels(task, columns[f"{task.name} (true)"])
            for task in tasks
            if f"{task.name} (true)" in columns
        }
    except (KeyError, ValueError) as error:
        raise Damaged(run.path / folder.PREDICTIONS, f"it lacks {error}") from None
    count = len(next(iter(predicted.values())))
    if prepared is None:
        return JudgedRows(part, count, labels, predicted)
    indices = _indices(prepared, columns)
    labels = {task.name: prepared.labels[task.name][indices] for task in tasks}
    groups = None
    column = run.spec.data.parts.groups
    if column is not None:
        texts = np.asarray(prepared.table[column])[indices].astype(str)
        groups = np.unique(texts, return_inverse=True)[1]
    sample = prepared.weights_of(indices).sample
    weights = None
    if sample is not None:
        # `weights_of` has the tasks in the order of their layout.
        weights = {name: sample[:, i] for i, name in enumerate(Layout.of(prepared.tasks).tasks)}
    return JudgedRows(part, count, labels, predicted, indices, groups, weights)


def _columns(run: Folder) -> dict[str, list[str]]:
    """Return the cells of `predictions.csv` by column."""
    text = manifest.content(run.path, folder.PREDICTIONS, SIZE).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise Damaged(run.path / folder.PREDICTIONS, "its rows differ in length, or there are none")
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))


def _numbers(cells: list[str]) -> Array:
    """Return cells as numbers [n]; NaN where empty."""
    texts = np.array(cells, dtype=object)
    texts[texts == ""] = "nan"
    return texts.astype("float64")


def _predictions(task: Task, columns: dict[str, list[str]]) -> Array:
    """Return the predictions [n, p] of a task."""
    return np.stack([_numbers(columns[name]) for name in number_names(task)], axis=1)


def _labels(task: Task, cells: list[str]) -> Array:
    """Return encoded labels [n, 1] from their cells."""
    if not isinstance(task, ClassTask):
        return _numbers(cells)[:, None]
    codes = {str(label): float(i) for i, label in enumerate(task.known_classes())}
    codes[""] = np.nan
    distinct, places = np.unique(np.array(cells, dtype=object).astype(str), return_inverse=True)
    return np.array([codes[cell] for cell in distinct.tolist()])[places][:, None]


def _indices(prepared: PreparedTable, columns: dict[str, list[str]]) -> Any:
    """Return the indices in the table of the rows that are numbered in the predictions."""
    numbers = _numbers(next(iter(columns.values()))).astype(int)
    known = prepared.numbered(np.arange(prepared.table.rows))
    order = np.argsort(known)
    return order[np.searchsorted(known[order], numbers).clip(max=len(order) - 1)]
