"""Turn predictions into the columns of a table: predicted labels and their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.tasks import Binary, Layout, Multilabel, Quantile, Task, numpy_ops
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

Thresholds = Mapping[TaskName, Array]
"""Task -> decision thresholds, [labels].

A task without thresholds predicts the positive class above 0.5.
"""


def columns(
    layout: Layout, predictions: Mapping[TaskName, Array], thresholds: Thresholds | None = None
) -> dict[str, np.ndarray]:
    """Return named columns [n] from each task's prediction [n, p] in the user's units.

    | kind | columns of a task `t` |
    |---|---|
    | regression, proportion, count | `t` |
    | binary | `t`, `t=<positive class> probability` |
    | multiclass, ordinal | `t`, `t=<class> probability` for each class |
    | multilabel | `t=<label>` and `t=<label> probability` for each label |
    | multilabel with `soft=True` | `t=<label>`, a share, for each label |
    | quantile | `t`, the one nearest to the median, and `t q<level>` for each |
    """
    named_columns: dict[str, np.ndarray] = {}
    for name, task in layout.tasks.items():
        _add(
            named_columns,
            _of(task, np.asarray(predictions[name]), (thresholds or {}).get(name)),
            name,
        )
    return named_columns


def check_names(layout: Layout) -> None:
    """Raise an error before training where two prediction columns would have the same name.

    Raises:
        InputError: naming the task.
    """
    predictions = layout.prediction(np.zeros((1, layout.units)), numpy_ops)
    truth = dict.fromkeys(layout.tasks, np.full(1, np.nan))
    encoded = {name: np.full((1, task.width), np.nan) for name, task in layout.tasks.items()}
    beside_truth([0], truth, encoded, layout, predictions)


def _add(columns: dict[str, np.ndarray], more: dict[str, Any], task: TaskName) -> None:
    """Add columns; raise InputError for a name that is taken: it would be overwritten silently."""
    if duplicate := next((name for name in more if name in columns), None):
        raise InputError(
            f"Task {shorten(task)!r} and another task would both be predicted in a column "
            f"{shorten(duplicate)!r}; rename one."
        )
    columns |= more


def _of(task: Task, prediction: Array, thresholds: Array | None) -> dict[str, np.ndarray]:
    """Return the columns of one task, as in the table of `columns`."""
    if isinstance(task, Multilabel) and task.soft:
        return {f"{task.name}={label}": prediction[:, i] for i, label in enumerate(task.labels)}
    if isinstance(task, Multilabel):
        answers = task.answer(prediction, thresholds)
        task_columns = {
            f"{task.name}={label}": answers[:, i] for i, label in enumerate(task.labels)
        }
        shares = {
            f"{task.name}={label} probability": prediction[:, i]
            for i, label in enumerate(task.labels)
        }
        return task_columns | shares
    if isinstance(task, Binary):
        chosen = task.choose(prediction, None if thresholds is None else thresholds[0])
        share = f"{task.name}={task.known_classes()[1]} probability"
        return {task.name: task.in_words(chosen), share: prediction[:, 0]}
    task_columns = {task.name: task.answer(prediction)}
    if isinstance(task, ClassTask):
        for i, label in enumerate(task.known_classes()):
            task_columns[f"{task.name}={label} probability"] = prediction[:, i]
    elif isinstance(task, Quantile):
        task_columns |= {
            f"{task.name} q{level:g}": prediction[:, i] for i, level in enumerate(task.quantiles)
        }
    return task_columns


def beside_truth(
    rows: Any,
    truth: Mapping[TaskName, Any],
    encoded: Mapping[TaskName, Array],
    layout: Layout,
    predictions: Mapping[TaskName, Array],
    thresholds: Thresholds | None = None,
) -> dict[str, Any]:
    """Return the columns of `columns` with the row number and each task's true label before them.

    They are the predictions of a run.

    Args:
        rows: numbers of the rows in the table.
        truth: task -> labels in the user's own scale and classes; None without labels.
        encoded: the same labels, encoded.
        layout, predictions, thresholds: as for `columns`.
    """
    named_columns: dict[str, Any] = {
        "row" if "row" not in layout.tasks else "number of the row": rows
    }
    for name, task in layout.tasks.items():
        has_many_columns = isinstance(task, Multilabel) or getattr(task, "soft", False)
        if truth[name] is not None and not has_many_columns:
            _add(
                named_columns,
                {f"{name} (true)": _as_predicted(task, truth[name], encoded[name])},
                name,
            )
    for name, values in columns(layout, predictions, thresholds).items():
        _add(named_columns, {name: values}, name)
    return named_columns


def _as_predicted(task: Task, labels: Any, encoded: Array) -> Any:
    """Return true labels [n], encoded [n, width], written as the task writes its predictions.

    This gives class 1, not 1.0, where a column with gaps was read as float.
    """
    if not isinstance(task, ClassTask):
        return labels
    classes = task.known_classes()
    return [None if np.isnan(code) else classes[int(code)] for code in encoded[:, 0]]
