"""Turn sums from the device, or predictions, into named numbers: terms, metrics, skills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from keras import ops

from polycera.errors import listing
from polycera.model.nonfinite import blamed_weight
from polycera.model.objective import HeadConstants, Objective
from polycera.model.targets import TargetScaling
from polycera.tasks import Group, Layout, numpy_ops
from polycera.tasks.metrics import TALLIES, Tallies, skill
from polycera.typing import Array, TaskName


@dataclass(frozen=True)
class Score:
    """Hold one metric of one task, with what is needed to compare it with others.

    Attributes:
        value: in the user's units; NaN where undefined.
        trivial: the value of the trivial predictor on the same rows.
        ideal: the value of a perfect predictor.
        direction: `max`, `min` or `target`.
    """

    value: float
    trivial: float
    ideal: float
    direction: str

    @property
    def skill(self) -> float:
        """Return the skill: 0 trivial, 1 perfect, below 0 worse than trivial, NaN if undefined."""
        return float(skill(self.value, self.trivial, self.ideal))


Scores = dict[TaskName, dict[str, Score]]
"""Task name -> metric name -> score."""


def terms(
    objective: Objective, sums: Mapping[str, Array], weights: Array, say_weights: bool
) -> dict[str, float]:
    """Return `loss` and every term by name; the loss is exactly the weighted sum of the terms.

    Args:
        objective: what was minimised.
        sums: the epoch sums.
        weights: current weights of the tasks, [tasks], for a measurement. A training has added up
            the weights that were used in each step.
        say_weights: whether to return `task/weight`, the factor between a task's terms and what was
            minimised: a mean over the steps, each step counting by its loss.
    """
    rows = sums["rows"]

    def mean(totals: Array) -> Array:
        return np.divide(totals, rows, out=np.full(len(rows), np.nan), where=rows > 0)

    values = mean(sums["sums"])
    named = dict(zip(objective.names, values.tolist(), strict=True))
    batches, steps = float(sums["batches"]), float(sums["steps"])
    regularization = float(sums["regularization"]) / batches if batches else 0.0
    # A term without a row takes no part; a term that is NaN makes the loss NaN.
    own_parts = np.where(rows > 0, values * objective.term_weights, 0.0)
    if steps:
        weighted_parts = np.where(rows > 0, mean(sums["weighted"]) * objective.term_weights, 0.0)
        named |= _weights(objective, own_parts, weighted_parts) if say_weights else {}
    else:
        weighted_parts = own_parts * np.append(weights, 1.0)[objective.owner]
    # Without a single labelled row a training has no loss; a measurement has its
    # regularisation alone.
    loss = float(weighted_parts.sum()) + regularization if (rows > 0).any() or not steps else np.nan
    named |= {"regularization": regularization} if regularization else {}
    return {"loss": loss, **named} | ({"skipped_steps": float(sums["skipped"])} if steps else {})


def _weights(objective: Objective, plain: Array, weighted: Array) -> dict[str, float]:
    """Return `task/weight`, the factor of each task's loss."""
    factors = {}
    for i, name in enumerate(objective.layout.tasks):
        of_task = objective.owner == i
        unweighted = plain[of_task].sum()
        factors[f"{name}/weight"] = (
            float(weighted[of_task].sum() / unweighted) if unweighted else np.nan
        )
    return factors


def spoilt(objective: Objective, sums: Mapping[str, Array]) -> str | None:
    """Return one sentence on the skipped steps that names the terms; None without such steps."""
    skipped = int(sums["skipped"])
    if not skipped:
        return None
    terms_and_counts = [
        f"{name} ({int(n)})" for name, n in zip(objective.names, sums["spoilt"], strict=True) if n
    ]
    weights = dict(zip(objective.layout.tasks, objective.weights.tolist(), strict=True))
    return (
        f"{skipped} of {int(sums['steps'])} steps were skipped, the first at batch "
        f"{int(sums['first'])}, because a loss was not finite: {listing(terms_and_counts)}. "
    ) + (
        blamed_weight(weights)
        or "Look for enormous or wrong values in that target, or lower the learning rate."
    )


def streamed(objective: Objective, tallied: Array, scaling: TargetScaling) -> Scores:
    """Return all metrics from the tallies of an epoch.

    `tasks.metrics` says which of them a histogram only approximates.
    """
    start = 0
    scores: Scores = {}
    for group, sizes in zip(objective.layout.groups, objective.tallied, strict=True):
        tallies: Tallies = {}
        for name, shape in sizes.items():
            tallies[name] = tallied[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        scores |= _scores(group, TALLIES[group.task.measured_as].read(tallies), scaling)
    return scores


@np.errstate(over="ignore", invalid="ignore")  # as for `Objective.sums`
def exact(
    objective: Objective, y: Array, raw: Array, counted: Any, scaling: TargetScaling
) -> Scores:
    """Return all metrics in float64 from all predictions at once.

    Args:
        objective: names the tallies that are needed.
        y: packed labels [n, width], NaN where missing.
        raw: raw outputs [n, columns].
        counted: False for rows that take no part, [n, tasks] or [n, 1]; or the weights by which
            rows count.
        scaling: the target scaling, for results in the user's units.
    """
    y, raw = np.asarray(y, "float64"), np.asarray(raw, "float64")
    scores: Scores = {}
    for group, needs in zip(objective.layout.groups, objective.needs, strict=True):
        group_y, group_raw = group.target(y, numpy_ops), group.raw(raw, numpy_ops)
        group_counted = group.per_task(counted)[..., None]
        counted_labels = ~np.isnan(group_y) & (group_counted > 0)
        group_y, group_raw = (
            np.where(counted_labels, group_y, 0.0),
            np.where(counted_labels, group_raw, 0.0),
        )
        tally = TALLIES[group.task.measured_as]
        tallies = tally.exact(
            group.task,
            group_y,
            group_raw,
            _prior(group, scaling),
            counted_labels * group_counted.astype("float64"),
            needs,
        )
        scores |= _scores(group, tallies, scaling)
    return scores


def measured(
    objective: Objective,
    y: Array,
    raw: Array,
    constants: HeadConstants,
    scaling: TargetScaling,
    weights: Any,
    sample_weights: Array | None = None,
) -> tuple[dict[str, float], Scores]:
    """Return loss, terms and metrics by name, and the scores, on rows with known raw outputs.

    Args:
        objective: of the model.
        y: packed labels [n, width].
        raw: raw outputs [n, columns].
        constants, scaling, weights: of the model.
        sample_weights: [n, tasks] or [n, 1], or None.
    """
    totals = objective.sums(y, raw, constants, sample_weights)
    sums = dict(zip(("sums", "rows"), totals, strict=True))
    no_steps = dict.fromkeys(("batches", "steps", "regularization"), np.zeros(()))
    named = terms(
        objective, sums | no_steps, np.asarray(ops.convert_to_numpy(weights), "float64"), False
    )
    counted = objective.counted(len(y), sample_weights)
    task_scores = exact(objective, y, raw, counted, scaling)
    return named | logged(task_scores), task_scores


def _prior(group: Group, scaling: TargetScaling) -> Array:
    """Return a group's trivial raw outputs, [k, columns of a task]."""
    k, width = len(group.tasks), group.task.units
    return (
        scaling.prior[group.raw_start : group.raw_start + k * width]
        .reshape(k, width)
        .astype("float64")
    )


def _scores(group: Group, tallies: Tallies, scaling: TargetScaling) -> Scores:
    """Return the scores of a group from its tallies, in the user's units."""
    tally = TALLIES[group.task.measured_as]
    tallies = tallies | tally.constants(group.task, _prior(group, scaling))
    scale = scaling.scale[group.first : group.first + len(group.tasks)]
    scores: Scores = {task.name: {} for task in group.tasks}
    for name in dict.fromkeys(name for task in group.tasks for name in task.metrics):
        metric = tally.metrics[name]
        # Squares scale with the square of the deviation. A count's outputs are rates, never scaled.
        factor = scale**metric.scaled if group.task.kind != "count" else np.ones_like(scale)
        value, trivial = (_once(of, tallies) * factor for of in (metric.value, metric.trivial))
        best = None if metric.best is None else _once(metric.best, tallies)
        for i, task in enumerate(group.tasks):
            if name in task.metrics:
                ideal = metric.ideal_for(task) if best is None else float(best[i])
                score = Score(float(value[i]), float(trivial[i]), ideal, metric.direction)
                scores[task.name][name] = score
    # Each task's metrics in its own order, because the first is its headline metric.
    return {
        task.name: {name: scores[task.name][name] for name in task.metrics} for task in group.tasks
    }


def _once(of: Callable[[Tallies], Array], tallies: Tallies) -> Array:
    """Return the values of a metric for all tasks of a group, float64 [k]."""
    return np.asarray(of(tallies), "float64")


def logged(scores: Scores) -> dict[str, float]:
    """Return `task/metric` -> value, as in logs and history."""
    return {
        f"{task}/{name}": score.value
        for task, task_scores in scores.items()
        for name, score in task_scores.items()
    }


def predictions(layout: Layout, raw: Array, scaling: TargetScaling) -> dict[TaskName, Any]:
    """Return each task's predictions [n, p] in the user's units, from raw outputs [n, columns]."""
    linked = layout.prediction(np.asarray(raw, "float64"), numpy_ops)
    moments = zip(layout.tasks, scaling.location, scaling.scale, strict=True)
    return {name: linked[name] * spread + middle for name, middle, spread in moments}
