"""Predictions as columns of a table: the label one would say, and the probabilities behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.tasks import Binary, Layout, Multilabel, Quantile, Task, numpy_ops
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

Thresholds = Mapping[TaskName, Array]
"""Task -> from which probability on yes is said, [labels]; a task that is not in it says yes above one half."""


def columns(
    layout: Layout, predictions: Mapping[TaskName, Array], thresholds: Thresholds | None = None
) -> dict[str, np.ndarray]:
    """Each task's prediction [n, p] in the user's units -> named columns [n].

    | kind | columns of a task `t` |
    |---|---|
    | regression, proportion, count | `t` |
    | binary | `t`, `t=<positive class> probability` |
    | multiclass, ordinal | `t`, `t=<class> probability` for each class |
    | multilabel | `t=<label>` and `t=<label> probability` for each label; with `soft=True` the former, a share |
    | quantile | `t`, the one nearest to the median, and `t q<level>` for each |
    """
    found: dict[str, np.ndarray] = {}
    for name, task in layout.tasks.items():
        _add(found, _of(task, np.asarray(predictions[name]), (thresholds or {}).get(name)), name)
    return found


def check_names(layout: Layout) -> None:
    """Find out before training whether two answers would have one name.

    Raises:
        InputError: naming the task.
    """
    answers = layout.prediction(np.zeros((1, layout.units)), numpy_ops)
    beside_truth([0], dict.fromkeys(layout.tasks, np.full(1, np.nan)), layout, answers)


def _add(found: dict[str, np.ndarray], more: dict[str, Any], task: TaskName) -> None:
    """Puts columns beside those there are; one in the place of another would be lost in silence."""
    if twice := next((name for name in more if name in found), None):
        raise InputError(
            f"Task {shorten(task)!r} would answer in a column {shorten(twice)!r}, and another task does; rename one."
        )
    found |= more


def _of(task: Task, prediction: Array, thresholds: Array | None) -> dict[str, np.ndarray]:
    if isinstance(task, Multilabel) and task.soft:
        return {f"{task.name}={label}": prediction[:, i] for i, label in enumerate(task.labels)}
    if isinstance(task, Multilabel):
        said = task.answer(prediction, thresholds)
        found = {f"{task.name}={label}": said[:, i] for i, label in enumerate(task.labels)}
        shares = {
            f"{task.name}={label} probability": prediction[:, i]
            for i, label in enumerate(task.labels)
        }
        return found | shares
    if isinstance(task, Binary):
        chosen = task.choose(prediction, None if thresholds is None else thresholds[0])
        share = f"{task.name}={task.known_classes()[1]} probability"
        return {task.name: task.in_words(chosen), share: prediction[:, 0]}
    found = {task.name: task.answer(prediction)}
    if isinstance(task, ClassTask):
        for i, label in enumerate(task.known_classes()):
            found[f"{task.name}={label} probability"] = prediction[:, i]
    elif isinstance(task, Quantile):
        found |= {
            f"{task.name} q{level:g}": prediction[:, i] for i, level in enumerate(task.quantiles)
        }
    return found


def beside_truth(
    rows: Any,
    truth: Mapping[TaskName, Any],
    layout: Layout,
    predictions: Mapping[TaskName, Array],
    thresholds: Thresholds | None = None,
) -> dict[str, Any]:
    """The same columns with the row's number and each task's true label in front, for the predictions of a run."""
    found: dict[str, Any] = {"row" if "row" not in layout.tasks else "number of the row": rows}
    for name, task in layout.tasks.items():
        several = isinstance(task, Multilabel) or getattr(task, "soft", False)
        if truth[name] is not None and not several:
            _add(found, {f"{name} (true)": _as_said(task, truth[name])}, name)
    for name, answer in columns(layout, predictions, thresholds).items():
        _add(found, {name: answer}, name)
    return found


def _as_said(task: Task, labels: Any) -> Any:
    """True labels [n] written as the task writes its answers: class 1, not 1.0, where a column held gaps."""
    if not isinstance(task, ClassTask):
        return labels
    classes = task.known_classes()
    return [None if np.isnan(code) else classes[int(code)] for code in task.encode(labels)[:, 0]]
