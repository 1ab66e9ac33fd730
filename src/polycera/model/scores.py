"""From sums on the device, or from predictions, to named numbers on the host: terms, metrics, skills."""

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
    """One metric of one task, with what it takes to compare it with others.

    Attributes:
        value: in the user's units; NaN where undefined.
        trivial: what the trivial predictor reaches on the same rows.
        ideal: what a perfect predictor reaches.
        direction: `max`, `min` or `target`.
    """

    value: float
    trivial: float
    ideal: float
    direction: str

    @property
    def skill(self) -> float:
        """0 the trivial predictor, 1 perfect, below 0 worse than trivial; NaN where undefined."""
        return float(skill(self.value, self.trivial, self.ideal))


Scores = dict[TaskName, dict[str, Score]]
"""Task name -> metric name -> score."""


def terms(
    objective: Objective, sums: Mapping[str, Array], weights: Array, say_weights: bool
) -> dict[str, float]:
    """`loss` and every term by name; the loss is the weighted sum of the terms, exactly.

    Args:
        objective: what was minimised.
        sums: the ledger's.
        weights: of the tasks as they stand, [tasks]: for a measurement. A training has added up
            what was in force.
        say_weights: whether `task/weight` is wanted, the factor by which a task's terms come to
            what was minimised: a mean over the steps, each step counting by its loss.
    """
    rows = sums["rows"]

    def mean(totals: Array) -> Array:
        return np.divide(totals, rows, out=np.full(len(rows), np.nan), where=rows > 0)

    values = mean(sums["sums"])
    named = dict(zip(objective.names, values.tolist(), strict=True))
    batches, steps = float(sums["batches"]), float(sums["steps"])
    regularization = float(sums["regularization"]) / batches if batches else 0.0
    # a term without a row takes no part; one that is no number makes the loss none
    plain = np.where(rows > 0, values * objective.term_weights, 0.0)
    if steps:
        parts = np.where(rows > 0, mean(sums["weighted"]) * objective.term_weights, 0.0)
        named |= _weights(objective, plain, parts) if say_weights else {}
    else:
        parts = plain * np.append(weights, 1.0)[objective.owner]
    loss = float(parts.sum()) + regularization if (rows > 0).any() or not steps else np.nan
    named |= {"regularization": regularization} if regularization else {}
    return {"loss": loss, **named} | ({"skipped_steps": float(sums["skipped"])} if steps else {})


def _weights(objective: Objective, plain: Array, weighted: Array) -> dict[str, float]:
    """`task/weight` -> the factor of the task's loss."""
    found = {}
    for i, name in enumerate(objective.layout.tasks):
        own = objective.owner == i
        before = plain[own].sum()
        found[f"{name}/weight"] = float(weighted[own].sum() / before) if before else np.nan
    return found


def spoilt(objective: Objective, sums: Mapping[str, Array]) -> str | None:
    """One sentence on the steps that were skipped, naming the terms; None where there were none."""
    skipped = int(sums["skipped"])
    if not skipped:
        return None
    bad = [
        f"{name} ({int(n)})" for name, n in zip(objective.names, sums["spoilt"], strict=True) if n
    ]
    weights = dict(zip(objective.layout.tasks, objective.weights.tolist(), strict=True))
    return (
        f"{skipped} of {int(sums['steps'])} steps were skipped, the first at batch {int(sums['first'])}, "
        f"because a loss was not finite: {listing(bad)}. "
    ) + (
        blamed_weight(weights)
        or "Look for enormous or wrong values in that target, or lower the learning rate."
    )


def streamed(objective: Objective, tallied: Array, units: TargetScaling) -> Scores:
    """All metrics from the tallies of an epoch; what a histogram only approximates is said in `tasks.metrics`."""
    start = 0
    found: Scores = {}
    for group, sizes in zip(objective.layout.groups, objective.tallied, strict=True):
        tallies: Tallies = {}
        for name, shape in sizes.items():
            tallies[name] = tallied[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        found |= _scores(group, TALLIES[group.task.measured_as].read(tallies), units)
    return found


def exact(objective: Objective, y: Array, raw: Array, counted: Any, units: TargetScaling) -> Scores:
    """All metrics in float64 from all predictions at once.

    Args:
        objective: names the tallies wanted.
        y: packed labels [n, width], NaN where missing.
        raw: raw outputs [n, units].
        counted: False for rows that take no part, [n, tasks] or [n, 1].
        units: to answer in the user's units.
    """
    y, raw = np.asarray(y, "float64"), np.asarray(raw, "float64")
    found: Scores = {}
    for group, needs in zip(objective.layout.groups, objective.needs, strict=True):
        own_y, own_raw = group.target(y, numpy_ops), group.raw(raw, numpy_ops)
        known = ~np.isnan(own_y) & group.per_task(counted)[..., None]
        own_y, own_raw = np.where(known, own_y, 0.0), np.where(known, own_raw, 0.0)
        tally = TALLIES[group.task.measured_as]
        tallies = tally.exact(
            group.task, own_y, own_raw, _prior(group, units), known.astype("float64"), needs
        )
        found |= _scores(group, tallies, units)
    return found


def measured(
    objective: Objective,
    y: Array,
    raw: Array,
    kept: HeadConstants,
    units: TargetScaling,
    weights: Any,
) -> tuple[dict[str, float], Scores]:
    """What a model is worth on rows whose raw outputs are known: loss, terms and metrics by name, and the scores.

    Args:
        objective: of the model.
        y: packed labels [n, width].
        raw: raw outputs [n, units].
        kept, units, weights: of the model.
    """
    sums = dict(zip(("sums", "rows"), objective.sums(y, raw, kept), strict=True))
    none = dict.fromkeys(("batches", "steps", "regularization"), np.zeros(()))
    named = terms(
        objective, sums | none, np.asarray(ops.convert_to_numpy(weights), "float64"), False
    )
    own = exact(objective, y, raw, np.ones((len(y), 1), bool), units)
    return named | logged(own), own


def _prior(group: Group, units: TargetScaling) -> Array:
    k, each = len(group.tasks), group.task.units
    return (
        units.prior[group.raw_start : group.raw_start + k * each].reshape(k, each).astype("float64")
    )


def _scores(group: Group, tallies: Tallies, units: TargetScaling) -> Scores:
    tally = TALLIES[group.task.measured_as]
    tallies = tallies | tally.constants(group.task, _prior(group, units))
    scale = units.scale[group.first : group.first + len(group.tasks)]
    found: Scores = {task.name: {} for task in group.tasks}
    for name in dict.fromkeys(name for task in group.tasks for name in task.metrics):
        metric = tally.metrics[name]
        factor = scale**metric.scaled if group.task.kind != "count" else np.ones_like(scale)
        value, trivial = (_once(of, tallies) * factor for of in (metric.value, metric.trivial))
        best = None if metric.best is None else _once(metric.best, tallies)
        for i, task in enumerate(group.tasks):
            if name in task.metrics:
                ideal = metric.ideal_for(task) if best is None else float(best[i])
                score = Score(float(value[i]), float(trivial[i]), ideal, metric.direction)
                found[task.name][name] = score
    # each task's metrics in its own order: the first is the headline
    return {
        task.name: {name: found[task.name][name] for name in task.metrics} for task in group.tasks
    }


def _once(of: Callable[[Tallies], Array], tallies: Tallies) -> Array:
    return np.asarray(of(tallies), "float64")


def logged(scores: Scores) -> dict[str, float]:
    """`task/metric` -> value, as it stands in logs and history."""
    return {
        f"{task}/{name}": score.value for task, own in scores.items() for name, score in own.items()
    }


def predictions(layout: Layout, raw: Array, units: TargetScaling) -> dict[TaskName, Any]:
    """Raw outputs [n, units] -> each task's prediction [n, p] in the user's units."""
    linked = layout.prediction(np.asarray(raw, "float64"), numpy_ops)
    moments = zip(layout.tasks, units.location, units.scale, strict=True)
    return {name: linked[name] * spread + middle for name, middle, spread in moments}
