"""Metric objects of Keras at work: fed with answers in the user's units, batch by batch, beside the kinds' own."""

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
    """A metric object at work.

    Attributes:
        task: whose it is.
        metric: what the network's answers go into.
        trivial: what the trivial predictor's go into; None where the direction of the metric is not
            known.
    """

    task: Task
    metric: Any
    trivial: Any | None


class MetricObjects:
    """The metric objects of all tasks. A model without any never makes one of these.

    Args:
        layout: the tasks.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.fed: list[Fed] = []
        for task in layout.tasks.values():
            for metric in task.metric_objects:
                own = copied(metric)
                compared = (
                    own is not None
                    and direction_of(metric) is not None
                    and ideal_of(metric) is not None
                )
                self.fed.append(
                    Fed(task, metric if own is None else own, copied(metric) if compared else None)
                )

    @property
    def names(self) -> list[str]:
        """`task/metric` of each."""
        return [f"{fed.task.name}/{fed.metric.name}" for fed in self.fed]

    @property
    def metrics(self) -> list[Any]:
        """All of them, for Keras to keep their state and to reset it."""
        return [
            metric for fed in self.fed for metric in (fed.metric, fed.trivial) if metric is not None
        ]

    def update(self, y: Target, raw: Raw, weights: Any, kept: HeadConstants) -> None:
        """Add a batch.

        Args:
            y: packed labels [n, width], NaN where missing.
            raw: raw outputs [n, units].
            weights: sample weights [n, tasks] or [n, 1], or None; a row of weight 0 is left out,
                others count alike.
            kept: what was taken out of the labels, and the trivial predictors.
        """
        for group in self.layout.groups:
            places = {task.name: place for place, task in enumerate(group.tasks)}
            for fed in self.fed:
                if fed.task.name in places:
                    self._add(fed, group, places[fed.task.name], y, raw, weights, kept)

    def _add(
        self,
        fed: Fed,
        group: Group,
        place: int,
        y: Target,
        raw: Raw,
        weights: Any,
        kept: HeadConstants,
    ) -> None:
        task = fed.task
        labels, said = group.target(y, ops)[:, place], group.raw(raw, ops)[:, place]
        known = ops.all(ops.logical_not(ops.isnan(labels)), axis=-1)
        if weights is not None:
            own = group.per_task(weights)
            known = ops.logical_and(known, own[:, place if own.shape[-1] > 1 else 0] > 0)
        labels = ops.where(known[:, None], labels, 0.0)
        said = ops.where(known[:, None], said, 0.0)
        middle, spread = kept.location[group.first + place], kept.scale[group.first + place]
        start = group.raw_start + place * task.units
        prior = ops.convert_to_tensor(kept.prior[start : start + task.units])[None, :]
        counted = ops.cast(known, "float32")
        for metric, outputs in ((fed.metric, said), (fed.trivial, ops.zeros_like(said) + prior)):
            if metric is not None:
                true = labels if is_one_of(metric, INDICES) else task.as_prediction(labels, ops)
                answers = task.link(outputs, ops) * spread + middle
                metric.update_state(_units(true, middle, spread), answers, sample_weight=counted)

    def scores(self) -> dict[TaskName, dict[str, Score]]:
        """What was measured since the last reset; the trivial value is NaN where the direction is not known.

        Raises:
            InputError: for a metric that gives more than one number.
        """
        found: dict[TaskName, dict[str, Score]] = {}
        for fed in self.fed:
            value = _number(fed.task, fed.metric)
            way, ideal = direction_of(fed.metric), ideal_of(fed.metric)
            trivial = np.nan if fed.trivial is None else _number(fed.task, fed.trivial)
            score = Score(value, trivial, np.nan if ideal is None else ideal, way or "unknown")
            found.setdefault(fed.task.name, {})[fed.metric.name] = score
        return found


def of(layout: Layout, members: int) -> MetricObjects | None:
    """Return the metric objects of these tasks; None where there are none.

    Raises:
        InputError: for a network of several members, which has no single answer while it trains.
    """
    with_objects = [task for task in layout.tasks.values() if task.metric_objects]
    if not with_objects:
        return None
    if members > 1:
        raise InputError(
            f"Task {shorten(with_objects[0].name)!r} has a metric object, which a network of several members cannot "
            "feed while it trains: name a metric of the kind, or compute it from predict."
        )
    return MetricObjects(layout)


def _units(labels: Tensor, middle: Tensor, spread: Tensor) -> Tensor:
    return labels * spread + middle


def _number(task: Task, metric: Any) -> float:
    result = metric.result()
    parts = keras.tree.flatten(result)
    value = (
        np.asarray(ops.convert_to_numpy(parts[0]), "float64") if len(parts) == 1 else np.zeros(0)
    )
    if value.size != 1:
        raise InputError(
            f"Metric {shorten(metric.name)!r} of task {shorten(task.name)!r} gives no single number: one with an "
            "average does, such as F1Score(average='macro')."
        )
    return float(value.reshape(()))


def logged(scores: dict[TaskName, dict[str, Score]]) -> dict[str, float]:
    """`task/metric` -> value."""
    return {
        f"{task}/{name}": score.value for task, own in scores.items() for name, score in own.items()
    }


def joined(
    own: dict[TaskName, dict[str, Score]],
    objects: dict[TaskName, dict[str, Score]],
    order: Sequence[TaskName],
) -> dict[TaskName, dict[str, Score]]:
    """Scores of the kinds' metrics, then those of the objects that can be compared with the trivial predictor."""
    compared = {
        task: {name: score for name, score in found.items() if score.direction in ("min", "max")}
        for task, found in objects.items()
    }
    return {task: {**own[task], **compared.get(task, {})} for task in order}
