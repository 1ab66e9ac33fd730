"""Turn predictions into the columns of a table: predicted labels and their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from polycera.data import Table
from polycera.data.column import EXACT, Values, as_text, is_whole
from polycera.data.tags import joined
from polycera.errors import InputError, shorten
from polycera.tasks import Binary, Layout, Multilabel, Quantile, Task, numpy_ops
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

Thresholds = Mapping[TaskName, Array]
"""Task -> decision thresholds, [labels].

A task without thresholds predicts the positive class above 0.5.
"""


def columns(
    layout: Layout,
    predictions: Mapping[TaskName, Array],
    thresholds: Thresholds | None = None,
    *,
    carried: Mapping[str, Any] | None = None,
    tags: Mapping[TaskName, str] | None = None,
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

    Args:
        layout: the tasks.
        predictions: task -> [n, p].
        thresholds: task -> decision thresholds.
        carried: name -> [n] of the columns that come first, as they are: ids.
        tags: multilabel task -> sign; a column `t` before its labels joins the predicted ones.

    Raises:
        InputError: where two columns would have one name.
    """
    named_columns: dict[str, np.ndarray] = dict(carried or {})
    for name, task in layout.tasks.items():
        task_columns = _of(task, np.asarray(predictions[name]), (thresholds or {}).get(name))
        if name in (tags or {}) and isinstance(task, Multilabel) and not task.soft:
            answers = task.answer(np.asarray(predictions[name]), (thresholds or {}).get(name))
            task_columns = {name: joined(task.labels, answers, tags[name])} | task_columns  # type: ignore[index]
        if taken := [column for column in task_columns if column in (carried or {})]:
            raise InputError(
                f"The id column {shorten(taken[0])!r} has the name of a column of predictions; "
                "rename it."
            )
        _add(named_columns, task_columns, name)
    return named_columns


def ids_of(table: Table, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the columns [n] that are carried into predictions, whole numbers as such.

    Raises:
        UnknownName: for a column that the table does not have.
    """
    return {name: _as_given(table[name]) for name in names}


def _as_given(values: Values) -> np.ndarray:
    """Return a canonical column [n] with whole numbers as integers and dates as text."""
    if values.dtype.kind == "M":
        return as_text(values)
    if values.dtype.kind != "f" or not is_whole(values):
        return values
    missing = np.isnan(values)
    if not missing.any():
        return values.astype(np.int64) if (np.abs(values) <= EXACT).all() else values
    whole = np.where(missing, 0.0, values).astype(np.int64).astype(object)
    whole[missing] = None
    return whole


def check_names(
    layout: Layout,
    ids: Iterable[str] = (),
    tags: Mapping[TaskName, str] | None = None,
) -> None:
    """Raise an error before training where two prediction columns would have the same name.

    Raises:
        InputError: naming the task.
    """
    predictions = layout.prediction(np.zeros((1, layout.units)), numpy_ops)
    truth = dict.fromkeys(layout.tasks, np.full(1, np.nan))
    encoded = {name: np.full((1, task.width), np.nan) for name, task in layout.tasks.items()}
    carried = dict.fromkeys(ids, np.zeros(1))
    beside_truth([0], truth, encoded, layout, predictions, carried=carried, tags=tags)


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
    if not isinstance(task, ClassTask | Multilabel | Quantile):
        return {task.name: task.answer(prediction)}
    numbers = {name: prediction[:, i] for i, name in enumerate(number_names(task))}
    if isinstance(task, Multilabel):
        if task.soft:
            return numbers
        answers = task.answer(prediction, thresholds)
        labels = {f"{task.name}={label}": answers[:, i] for i, label in enumerate(task.labels)}
        return labels | numbers
    if isinstance(task, Binary):
        chosen = task.choose(prediction, None if thresholds is None else thresholds[0])
        return {task.name: task.in_words(chosen)} | numbers
    return {task.name: task.answer(prediction)} | numbers


def number_names(task: Task) -> list[str]:
    """Return the columns of the numbers that a task predicts, in the order of its outputs [p].

    They are those of `columns` without the predicted classes and labels.
    """
    if isinstance(task, Multilabel):
        end = "" if task.soft else " probability"
        return [f"{task.name}={label}{end}" for label in task.labels]
    if isinstance(task, ClassTask):
        classes = task.known_classes()
        likely = classes[1:] if isinstance(task, Binary) else classes
        return [f"{task.name}={label} probability" for label in likely]
    if isinstance(task, Quantile):
        return [f"{task.name} q{level:g}" for level in task.quantiles]
    return [task.name]


def beside_truth(
    rows: Any,
    truth: Mapping[TaskName, Any],
    encoded: Mapping[TaskName, Array],
    layout: Layout,
    predictions: Mapping[TaskName, Array],
    thresholds: Thresholds | None = None,
    *,
    carried: Mapping[str, Any] | None = None,
    tags: Mapping[TaskName, str] | None = None,
) -> dict[str, Any]:
    """Return the columns of `columns` with the row number and each task's true label before them.

    They are the predictions of a run.

    Args:
        rows: numbers of the rows in the table.
        truth: task -> labels in the user's own scale and classes; None without labels.
        encoded: the same labels, encoded.
        layout, predictions, thresholds, carried, tags: as for `columns`.
    """
    is_taken = "row" in layout.tasks or "row" in (carried or {})
    named_columns: dict[str, Any] = {"number of the row" if is_taken else "row": rows}
    named_columns |= carried or {}
    for name, task in layout.tasks.items():
        has_many_columns = isinstance(task, Multilabel) or getattr(task, "soft", False)
        if truth[name] is not None and not has_many_columns:
            _add(
                named_columns,
                {f"{name} (true)": _as_predicted(task, truth[name], encoded[name])},
                name,
            )
    for name, values in columns(layout, predictions, thresholds, tags=tags).items():
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
