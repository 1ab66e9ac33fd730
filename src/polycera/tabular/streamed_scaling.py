"""Take the scaling of targets from the pass over all training rows of a large table."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera import data
from polycera.data import Table
from polycera.data.streaming.survey import Survey
from polycera.model.model import Model
from polycera.model.target_scaling import units_of
from polycera.tabular.streamed_table import Stream
from polycera.tasks import Multilabel, Task
from polycera.tasks.layout import Encoded
from polycera.tasks.task import ClassTask


def take(model: Model, stream: Stream, sample: Encoded) -> None:
    """Give a model the means, deviations and shares of classes of all training rows.

    What the pass over the table does not count, the quantiles of quantile tasks, is computed from
    the sample.

    Args:
        model: its heads store the scaling.
        stream: the training rows.
        sample: encoded labels of those training rows that are held in memory.
    """
    numbers = {task.name: _counted(stream.found, task) for task in stream.tasks}
    known = {name: given for name, given in numbers.items() if given is not None}
    model.scaling.set(units_of(model.layout, {**sample, **known}, sample))


def _counted(found: Survey, task: Task) -> dict[str, Any] | None:
    """Return the numbers of a task as `Model.adapt` takes them; None where none were counted."""
    columns = data.columns_of(task.name, task)
    if isinstance(task, Multilabel):
        moments = [found.of_train.get(name) for name in columns]
        shares = [float(one.mean[0]) for one in moments if one is not None and one.count[0]]
        return {"shares": shares} if len(shares) == len(columns) else None
    if isinstance(task, ClassTask):
        return _shares(found, task)
    column = found.of_train.get(task.name)
    if column is None or task.kind == "quantile":
        return None
    numbers = {"mean": float(column.mean[0])}
    if getattr(task, "standardize", False):
        numbers["std"] = float(column.deviation[0])
    return numbers


def _shares(found: Survey, task: ClassTask) -> dict[str, Any] | None:
    """Return the share of each class among the labels of the training rows."""
    levels = found.levels.get(task.name)
    if levels is None or not levels.whole or not levels.trained:
        return None
    labels = Table({task.name: list(levels.trained)})
    classes = task.encode(np.asarray(data.labels(labels, task)))[:, 0]
    counts = np.bincount(
        classes.astype(int), list(levels.trained.values()), minlength=len(task.known_classes())
    )
    return {"shares": (counts / counts.sum()).tolist()}
