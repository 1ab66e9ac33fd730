"""Several metrics watched as one: each brought to one scale, averaged with weights, put into the logs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.monitoring.scale import MEANS, SCALES, Seen, best
from polycera.shapes import Array, TaskName
from polycera.tasks.terms import factor


class JointScore(keras.callbacks.Callback):
    """Logs `val_joint`, the weighted mean of the tasks' skills, so that stock callbacks can monitor it.

    A skill brings any metric to one scale and one direction: 0 is what the trivial predictor of that task reaches on
    the same rows, 1 is perfect, below 0 is worse than trivial. It costs no second pass over the data: it uses what
    `fit` has just measured. Put it before the callbacks that monitor it, and monitor with `mode="max"`.

    A metric that is undefined in an epoch (a single class among the validation rows) is left out of that epoch's mean,
    and this is said once.

    Args:
        weights: task name -> weight, or `"task/metric"` -> weight for another metric than the task's headline.
            Default: every task's headline metric, equally.
        scale: how metrics come to one scale. "skill": see above. "minmax": 0 the worst epoch so far, 1 the best; a new
            extreme rescores all past epochs, and if that moves the best one it is said. "first": 0 the first epoch, 1
            perfect. "single": the gain over separate networks given in `reference`, as a part of what those reach
            (delta-m in the literature).
        how: "mean"; "geometric", which no single task can make up for; or "worst", the lowest alone.
        reference: for `scale="single"`: task name -> what a network of its own reaches in the watched metric.

    Logs:
        `val_joint`: the joint score. `val_<task>_skill`: each task's part in it. Without validation data, nothing.

    Attributes:
        scores: the joint score of every epoch so far, as it stands now, [epochs].
        best_epoch: the first epoch with the highest; None before there is one.

    Raises:
        UnknownName: for a scale or mean that there is not; at the beginning of training, for a task or metric that the
            model does not have.
        InputError: for weights that are not finite, 0 or more, with a positive sum; for a reference that is missing.

    Examples:
        >>> import keras, polycera as pc
        >>> watch = [
        ...     pc.callbacks.JointScore({"churn": 0.7, "revenue_loss": 0.3}),
        ...     keras.callbacks.EarlyStopping("val_joint", mode="max", patience=10, restore_best_weights=True),
        ... ]
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        scale: str = "skill",
        how: str = "mean",
        reference: Mapping[TaskName, float] | None = None,
    ) -> None:
        super().__init__()
        self.weights, self.reference = weights, dict(reference or {})
        for what, given, known in (("scale", scale, SCALES), ("mean", how, MEANS)):
            if given not in known:
                raise UnknownName(f"{what} of the joint score", given, known)
        self.scale, self.how = scale, how
        if (scale == "single") != bool(reference):
            raise InputError('scale="single" and reference={task: value} of separate networks go together.')
        if weights is not None:
            check_weights(weights, "joint score")
        self._watched: dict[tuple[TaskName, str], float] = {}
        self._begin()

    def _begin(self) -> None:
        self._values: list[list[float]] = []
        self._trivials: list[list[float]] = []
        self._ideals: list[float] = []
        self._left_out: set[TaskName] = set()
        self.scores: Array = np.zeros(0)

    @property
    def best_epoch(self) -> int | None:
        """Counted from the first epoch of this training that had validation rows, from 0."""
        return best(self.scores) if len(self.scores) else None

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that are watched."""
        return tuple(task for task, _ in self._watched)

    @property
    def scaled(self) -> Array:
        """Every watched metric of every epoch on one scale, higher is better, [epochs, tasks]."""
        reference = [float(self.reference.get(task, math.nan)) for task in self.tasks]
        arrays = (self._values, self._trivials, self._ideals, reference)
        return SCALES[self.scale](Seen(*(np.array(each, "float64") for each in arrays)))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the metrics that the weights name."""
        tasks = self.model.tasks
        self._watched = watched(self.weights or dict.fromkeys(tasks, 1.0), tasks, "joint score")
        if self.reference:
            for name in self.reference:
                if name not in tasks:
                    raise UnknownName("task in the reference:", name, tasks)
            if absent := [task for task in self.tasks if task not in self.reference]:
                raise InputError(
                    f"The reference lacks {listing(absent)}: give what a network of its own reaches there."
                )
        self._begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the scaled metrics and their mean to this epoch's logs."""
        if logs is None or "val_loss" not in logs:  # a task's own name may begin with val_
            return
        found = [self.model.scores[task][metric] for task, metric in self._watched]
        self._values.append([score.value for score in found])
        self._trivials.append([score.trivial for score in found])
        self._ideals = [score.ideal for score in found]
        before = self.best_epoch
        scaled = self.scaled
        self.scores = MEANS[self.how](scaled, np.array(list(self._watched.values())))
        for (task, metric), part in zip(self._watched, scaled[-1], strict=True):
            logs[f"val_{task}_skill"] = float(part)
            if math.isnan(part):
                self._say_once(task, metric)
        logs["val_joint"] = float(self.scores[-1])
        after = self.best_epoch
        if self.scale == "minmax" and before is not None and after not in (before, len(self.scores) - 1):
            warnings.warn(
                f"{type(self).__name__}: with this epoch the range of a metric grew, all epochs were rescored, and the "
                f"best so far is now epoch {after}, no longer {before}.",
                stacklevel=2,
            )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Say so where there was nothing to watch."""
        if not len(self.scores):
            warnings.warn(
                f"{type(self).__name__} has no validation rows to look at, so val_joint is not logged: "
                "pass validation_data or validation_split to fit.",
                stacklevel=2,
            )

    def _say_once(self, task: TaskName, metric: str) -> None:
        if task not in self._left_out:
            self._left_out.add(task)
            warnings.warn(
                f"Task {shorten(task)!r}: {metric} is undefined on the validation rows; "
                "it is left out of the joint score.",
                stacklevel=2,
            )


def check_weights(weights: Mapping[str, float], what: str) -> None:
    """Refuse weights that are not finite, 0 or more, with a positive sum."""
    total = sum(factor(value, f"the weight of {shorten(name)!r}") for name, value in weights.items())
    if not total > 0:
        raise InputError(f"The {what} needs at least one weight above 0, got {dict(weights)}.")


def watched(
    weights: Mapping[str, float], tasks: Mapping[TaskName, Any], what: str
) -> dict[tuple[TaskName, str], float]:
    """`task` or `task/metric` -> weight, as (task, metric) -> weight; `what` they are for is said in errors."""
    pairs = [_metric(name, tasks, what) for name in weights]
    names = [task for task, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"The {what} names a task twice: {listing(names)}; give each one metric.")
    return dict(zip(pairs, map(float, weights.values()), strict=True))


def _metric(name: str, tasks: Mapping[TaskName, Any], what: str) -> tuple[TaskName, str]:
    """`task` or `task/metric` -> (task, metric)."""
    if name in tasks:
        return name, tasks[name].headline
    task, _, metric = name.rpartition("/")
    if task not in tasks:
        raise UnknownName(f"task in the {what}:", name, tasks)
    if metric not in tasks[task].metrics:
        raise UnknownName(f"metric of task {shorten(task)!r} in the {what}:", metric, tasks[task].metrics)
    return task, metric
