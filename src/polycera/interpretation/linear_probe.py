"""Measure what a linear predictor reads about each task from a representation, as a skill.

Alain, Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv
1610.01644.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.drawing import Picture, heat
from polycera.errors import InputError, UnknownName, shorten
from polycera.interpretation.linear_models import logistic, ridge
from polycera.interpretation.representations import representations
from polycera.model.objective import Objective
from polycera.model.scores import Score, exact
from polycera.model.targets import TargetScaling, encode, pack
from polycera.tasks import Binary, Layout, Multiclass, Regression, Task
from polycera.typing import Array, TaskName

FEWEST = 4
"""Each half of the rows needs at least this many labels."""


@dataclass(frozen=True)
class Probe:
    """Hold what a linear predictor on a representation reaches for one task.

    Attributes:
        task: name of the task.
        metric: name of the metric that is measured.
        value, trivial: the metric of the predictor, and of the trivial predictor on the same rows;
            NaN where not defined.
        skill: 0 for the trivial predictor, 1 for a perfect one; NaN where not defined.
        rows: number of rows that the metric is measured on.
        reason: why there is no number; empty where there is one.
    """

    task: TaskName
    metric: str
    value: float
    trivial: float
    skill: float
    rows: int
    reason: str = ""


@dataclass(frozen=True)
class Probes:
    """Hold the skills of linear predictors by layer and task.

    Attributes:
        layers, tasks: names.
        skill: [layers, tasks]; NaN where not defined.
        found: layer -> task -> its `Probe`.
    """

    layers: list[str]
    tasks: list[TaskName]
    skill: Array
    found: dict[str, dict[TaskName, Probe]]

    def picture(
        self, title: str = "Skill of a linear predictor on the outputs of each layer"
    ) -> Picture:
        """Return a heat map of the skills."""
        values = [
            [None if math.isnan(value) else value for value in row] for row in self.skill.tolist()
        ]
        return heat(
            values,
            self.layers,
            self.tasks,
            title=title,
            low=0.0,
            high=1.0,
            y_label="layer",
            x_label="task",
        )

    def _repr_html_(self) -> str:
        return self.picture().page()


def probe(representation: Any, labels: Any, task: Task, *, seed: int = 0) -> Probe:
    """Fit a linear predictor to a representation on half of the rows; score it on the other half.

    Numbers (regression, count, quantile, proportion) are predicted by ridge regression and measured
    as regression. Classes (binary, multiclass, ordinal) are predicted by logistic regression,
    ordinal ones as if they had no order.

    Args:
        representation: [n, ...], flattened to [n, features].
        labels: [n], as the task takes them; rows without a label are left out.
        task: a task of any kind but multilabel: pass each of its labels as a task of its own.
        seed: seed of the random split into halves.

    Raises:
        InputError: for unequal numbers of rows; for numbers that are not finite; for a multilabel
            task, or one with shares as labels.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> seen = np.random.default_rng(0).normal(size=(400, 5))
        >>> probe(seen, 3 * seen[:, 0], pc.Regression("price")).skill > 0.99
        True
    """
    linear_task = _linear(task)
    layout = Layout.of([linear_task])
    encoded = encode(layout, {linear_task.name: labels}, "labels")[linear_task.name]
    features = _features(representation, len(encoded))
    labelled_rows = np.flatnonzero(~np.isnan(encoded).any(axis=1))
    # Rows without a label are left out before the split, so that both halves have labels.
    order = np.random.default_rng(seed).permutation(labelled_rows)
    fit_rows, score_rows = order[::2], order[1::2]
    if len(score_rows) < FEWEST:
        reason = f"only {len(labelled_rows)} rows have a label"
        return Probe(
            linear_task.name,
            linear_task.headline,
            math.nan,
            math.nan,
            math.nan,
            len(score_rows),
            reason,
        )
    # Location and scale come from the fitted half only: the measured rows must not influence the
    # predictor.
    scaling = TargetScaling.of(layout, {linear_task.name: encoded[fit_rows]})
    raw = _raw(linear_task, scaling, features[fit_rows], encoded[fit_rows], features[score_rows])
    packed = pack(layout, {linear_task.name: encoded[score_rows]}, scaling)
    score = exact(Objective(layout), packed, raw, np.ones((len(raw), 1), bool), scaling)[
        linear_task.name
    ][linear_task.headline]
    return _probe(linear_task, score, len(score_rows))


def probes(
    model: Any,
    x: Any,
    y: Mapping[TaskName, Any],
    tasks: Collection[Task] | None = None,
    layers: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Probes:
    """Return the skill of a linear predictor for each task on each layer.

    Args:
        model: any functional or sequential `keras.Model`.
        x: rows, as for `fit`.
        y: labels by task name.
        tasks: tasks to probe for; they may differ from the tasks that the model was trained for.
            None for the tasks of a polycera model, without the multilabel ones and those with
            shares as labels.
        layers: names of layers; None for all layers that have weights.
        seed: seed of the random split into halves, the same for all layers and tasks.

    Raises:
        UnknownName, InputError: as for `probe` and `representations`; for a task without labels in
            y.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((4,))
        >>> model = keras.Model(
        ...     x, keras.layers.Dense(1, name="price")(keras.layers.Dense(8, name="trunk")(x))
        ... )
        >>> rows = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
        >>> found = probes(model, rows, {"sum": rows.sum(axis=1)}, [pc.Regression("sum")])
        >>> found.layers, bool(found.skill[0, 0] > 0.99)
        (['trunk', 'price'], True)
    """
    if tasks is None:
        model_tasks = getattr(model, "tasks", None)
        if not model_tasks:
            raise InputError(
                "This model has no tasks of its own: name the tasks to probe for, "
                "tasks=[pc.Regression('price')]."
            )
        tasks = [
            task
            for task in model_tasks.values()
            if task.kind != "multilabel" and not getattr(task, "soft", False)
        ]
    for task in tasks:
        if task.name not in y:
            raise UnknownName("labels for task", task.name, y)
    features_by_layer = representations(model, x, layers)
    probes_by_layer = {
        name: {task.name: probe(features, y[task.name], task, seed=seed) for task in tasks}
        for name, features in features_by_layer.items()
    }
    skill = np.array(
        [[result.skill for result in by_task.values()] for by_task in probes_by_layer.values()]
    )
    # Without tasks or layers NumPy would not make a table of two dimensions: hence the reshape.
    return Probes(
        list(features_by_layer),
        [task.name for task in tasks],
        skill.reshape(len(features_by_layer), len(tasks)),
        probes_by_layer,
    )


def _linear(task: Task) -> Task:
    """Return the task as a linear predictor can answer it."""
    if getattr(task, "soft", False):
        raise InputError(
            f"Task {shorten(task.name)!r} has shares as labels: probe for each of them with its "
            "own pc.Proportion."
        )
    if isinstance(task, Binary | Multiclass | Regression):
        return task
    if task.kind in ("count", "quantile", "proportion"):
        return Regression(task.name)
    if task.kind == "ordinal":
        return Multiclass(task.name, classes=getattr(task, "classes", None))
    raise InputError(
        f"Task {shorten(task.name)!r} is {task.kind}: probe for each of its labels with its own "
        "pc.Binary."
    )


def _features(representation: Any, rows: int) -> Array:
    """Return a representation as [n, features] in float64, and check it."""
    array = np.asarray(representation)
    if array.ndim == 0 or len(array) != rows:
        raise InputError(
            f"The representation has shape {list(array.shape)}, and there are {rows} labels."
        )
    flat = array.reshape(rows, math.prod(array.shape[1:])).astype("float64")
    if not np.isfinite(flat).all():
        raise InputError("The representation holds NaN or infinite numbers; leave these rows out.")
    return flat


def _raw(task: Task, scaling: TargetScaling, features: Array, y: Array, at: Array) -> Array:
    """Fit a predictor to features and y; return its raw outputs for `at`, [rows, columns]."""
    if task.kind == "regression":
        return ridge(features, (y - scaling.location) / scaling.scale)(at)
    classes = max(task.units, 2)
    logits = logistic(features, y[:, 0], classes)(at)
    # A binary task has one output column: the log-odds, the difference of the two logits.
    return logits if task.units == classes else logits[:, 1:] - logits[:, :1]


def _probe(task: Task, score: Score, rows: int) -> Probe:
    """Return the result for a task, with a reason where its skill is not defined."""
    reason = "" if math.isfinite(score.skill) else f"{task.headline} is not defined on these rows"
    return Probe(task.name, task.headline, score.value, score.trivial, score.skill, rows, reason)
