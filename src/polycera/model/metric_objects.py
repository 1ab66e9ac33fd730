"""Feed Keras's metric objects with predictions in the user's units, beside the kinds' metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError, shorten
from polycera.model.objective import HeadConstants
from polycera.model.scores import Score
from polycera.tasks import Group, Layout, Task
from polycera.tasks.metrics.keras_metrics import INDICES, direction_of, ideal_of, is_one_of
from polycera.tasks.metrics.user_metrics import copied
from polycera.typing import Raw, Target, TaskName, Tensor


class Fed(NamedTuple):
    """Hold a metric object in use.

    Attributes:
        task: whose metric it is.
        metric: measures the network's predictions.
        trivial: measures the trivial predictor; None if the direction of the metric is not known.
    """

    task: Task
    metric: Any
    trivial: Any | None


class MetricObjects:
    """Hold the metric objects of all tasks; a model without any makes none of these.

    Args:
        layout: the tasks.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.fed: list[Fed] = []
        for task in layout.tasks.values():
            for metric in task.metric_objects:
                # A metric that cannot be copied is used itself, and has no trivial counterpart.
                metric_copy = copied(metric)
                comparable = (
                    metric_copy is not None
                    and direction_of(metric) is not None
                    and ideal_of(metric) is not None
                )
                self.fed.append(
                    Fed(
                        task,
                        metric if metric_copy is None else metric_copy,
                        copied(metric) if comparable else None,
                    )
                )

    @property
    def names(self) -> list[str]:
        """Return `task/metric` of each metric object."""
        return [f"{fed.task.name}/{fed.metric.name}" for fed in self.fed]

    @property
    def metrics(self) -> list[Any]:
        """Return all metrics, so that Keras stores their state and resets them."""
        return [
            metric for fed in self.fed for metric in (fed.metric, fed.trivial) if metric is not None
        ]

    def update(self, y: Target, raw: Raw, weights: Any, constants: HeadConstants) -> None:
        """Add a batch.

        Args:
            y: packed labels [n, width], NaN where missing.
            raw: raw outputs [n, columns].
            weights: sample weights [n, tasks] or [n, 1], or None; a row of weight 0 is left out,
                all others count the same.
            constants: target scaling and trivial predictors.
        """
        for group in self.layout.groups:
            positions = {task.name: position for position, task in enumerate(group.tasks)}
            for fed in self.fed:
                if fed.task.name in positions:
                    self._add(fed, group, positions[fed.task.name], y, raw, weights, constants)

    def _add(
        self,
        fed: Fed,
        group: Group,
        position: int,
        y: Target,
        raw: Raw,
        weights: Any,
        constants: HeadConstants,
    ) -> None:
        """Add a batch to one metric object and to its trivial counterpart."""
        task = fed.task
        labels, task_outputs = group.target(y, ops)[:, position], group.raw(raw, ops)[:, position]
        has_label = ops.all(ops.logical_not(ops.isnan(labels)), axis=-1)
        if weights is not None:
            group_weights = group.per_task(weights)
            has_label = ops.logical_and(
                has_label, group_weights[:, position if group_weights.shape[-1] > 1 else 0] > 0
            )
        labels = ops.where(has_label[:, None], labels, 0.0)
        task_outputs = ops.where(has_label[:, None], task_outputs, 0.0)
        middle, spread = (
            constants.location[group.first + position],
            constants.scale[group.first + position],
        )
        start = group.raw_start + position * task.units
        prior = ops.convert_to_tensor(constants.prior[start : start + task.units])[None, :]
        counted = ops.cast(has_label, "float32")
        for metric, outputs in (
            (fed.metric, task_outputs),
            (fed.trivial, ops.zeros_like(task_outputs) + prior),
        ):
            if metric is not None:
                # These metrics of Keras take the index of a class where others take one-hot labels.
                true = labels if is_one_of(metric, INDICES) else task.as_prediction(labels, ops)
                predictions = task.link(outputs, ops) * spread + middle
                metric.update_state(
                    _unscaled(true, middle, spread), predictions, sample_weight=counted
                )

    def scores(self) -> dict[TaskName, dict[str, Score]]:
        """Return the scores since the last reset; the trivial value is NaN if it is not measured.

        Raises:
            InputError: for a metric that gives more than one number.
        """
        scores: dict[TaskName, dict[str, Score]] = {}
        for fed in self.fed:
            value = _number(fed.task, fed.metric)
            direction, ideal = direction_of(fed.metric), ideal_of(fed.metric)
            trivial = np.nan if fed.trivial is None else _number(fed.task, fed.trivial)
            score = Score(
                value, trivial, np.nan if ideal is None else ideal, direction or "unknown"
            )
            scores.setdefault(fed.task.name, {})[fed.metric.name] = score
        return scores


def of(layout: Layout, members: int) -> MetricObjects | None:
    """Return the metric objects of these tasks; None if there are none.

    Raises:
        InputError: for a network of several members, which has no single answer while it trains.
    """
    with_objects = [task for task in layout.tasks.values() if task.metric_objects]
    if not with_objects:
        return None
    if members > 1:
        raise InputError(
            f"Task {shorten(with_objects[0].name)!r} has a metric object, which a network of "
            "several members cannot feed while it trains: name a metric of the kind, or compute "
            "it from predict."
        )
    return MetricObjects(layout)


def _unscaled(labels: Tensor, middle: Tensor, spread: Tensor) -> Tensor:
    """Return labels in the user's units."""
    return labels * spread + middle


def _number(task: Task, metric: Any) -> float:
    """Return the value of a metric as a float; raise if it is no single number."""
    result = metric.result()
    values = keras.tree.flatten(result)
    value = (
        np.asarray(ops.convert_to_numpy(values[0]), "float64") if len(values) == 1 else np.zeros(0)
    )
    if value.size != 1:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task.name)!r} gives no single "
            "number: one with an average does, such as F1Score(average='macro')."
        )
    return float(value.reshape(()))


def joined(
    kind_scores: dict[TaskName, dict[str, Score]],
    objects: dict[TaskName, dict[str, Score]],
    order: Sequence[TaskName],
) -> dict[TaskName, dict[str, Score]]:
    """Return the scores of the kinds' metrics, then those of metric objects.

    Of the objects, only those that can be compared with the trivial predictor are included.
    """
    compared = {
        task: {
            name: score
            for name, score in object_scores.items()
            if score.direction in ("min", "max")
        }
        for task, object_scores in objects.items()
    }
    return {task: {**kind_scores[task], **compared.get(task, {})} for task in order}
