"""How much of a task a representation holds ready: the skill of a linear predictor on it.

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
"""Labels in each half at least."""


@dataclass(frozen=True)
class Probe:
    """What a linear predictor on a representation reaches.

    Attributes:
        task: its name.
        metric: in which it is measured.
        value, trivial: of the predictor, and of the trivial one on the same rows; NaN where not
            defined.
        skill: 0 the trivial predictor, 1 perfect; NaN where not defined.
        rows: on which it is measured.
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
    """Skill by layer and task.

    Attributes:
        layers, tasks: names.
        skill: [layers, tasks]; NaN where not defined.
        found: layer -> task -> what was reached.
    """

    layers: list[str]
    tasks: list[TaskName]
    skill: Array
    found: dict[str, dict[TaskName, Probe]]

    def picture(
        self, title: str = "What a linear predictor reads from each layer (skill)"
    ) -> Picture:
        """A heat map."""
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
    """Fit a linear predictor to a representation on one half of the rows and measure its skill on the other.

    Numbers (regression, count, quantile) by ridge regression, measured as regression; classes
    (binary, multiclass, ordinal) by logistic regression, ordinal ones as if they had no order.

    Args:
        representation: [n, ...], flattened to [n, features].
        labels: [n], as the task takes them; rows without a label are left out.
        task: of any kind but multilabel, whose labels are tasks of their own here.
        seed: of the draw of the halves.

    Raises:
        InputError: for unequal numbers of rows; numbers that are not finite; a multilabel task.

    Examples:
        >>> import numpy as np, polycera as pc
        >>> seen = np.random.default_rng(0).normal(size=(400, 5))
        >>> probe(seen, 3 * seen[:, 0], pc.Regression("price")).skill > 0.99
        True
    """
    own = _linear(task)
    layout = Layout.of([own])
    encoded = encode(layout, {own.name: labels}, "labels")[own.name]
    features = _features(representation, len(encoded))
    known = np.flatnonzero(~np.isnan(encoded).any(axis=1))
    order = np.random.default_rng(seed).permutation(known)
    fitted, measured = order[::2], order[1::2]
    if len(measured) < FEWEST:
        reason = f"only {len(known)} rows have a label"
        return Probe(own.name, own.headline, math.nan, math.nan, math.nan, len(measured), reason)
    units = TargetScaling.of(layout, {own.name: encoded[fitted]})
    raw = _raw(own, units, features[fitted], encoded[fitted], features[measured])
    packed = pack(layout, {own.name: encoded[measured]}, units)
    score = exact(Objective(layout), packed, raw, np.ones((len(raw), 1), bool), units)[own.name][
        own.headline
    ]
    return _probe(own, score, len(measured))


def probes(
    model: Any,
    x: Any,
    y: Mapping[TaskName, Any],
    tasks: Collection[Task] | None = None,
    layers: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Probes:
    """The skill of a linear predictor of each task on each layer.

    Args:
        model: any functional or sequential `keras.Model`.
        x: rows, as for `fit`.
        y: labels by name.
        tasks: what to probe for; None for the tasks of a polycera model that are not multilabel.
            May be others than the model was trained for.
        layers: names; None for all that have weights.
        seed: of the draw of the halves, the same for all.

    Raises:
        UnknownName, InputError: as for `probe` and `representations`; for a task without labels in
            y.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, keras.layers.Dense(1, name="price")(keras.layers.Dense(8, name="trunk")(x)))
        >>> rows = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
        >>> found = probes(model, rows, {"sum": rows.sum(axis=1)}, [pc.Regression("sum")])
        >>> found.layers, bool(found.skill[0, 0] > 0.99)
        (['trunk', 'price'], True)
    """
    if tasks is None:
        own = getattr(model, "tasks", None)
        if not own:
            raise InputError(
                "This model has no tasks of its own: say what to probe for, tasks=[pc.Regression('price')]."
            )
        tasks = [
            task
            for task in own.values()
            if task.kind != "multilabel" and not getattr(task, "soft", False)
        ]
    for task in tasks:
        if task.name not in y:
            raise UnknownName("labels for task", task.name, y)
    seen = representations(model, x, layers)
    found = {
        name: {t.name: probe(each, y[t.name], t, seed=seed) for t in tasks}
        for name, each in seen.items()
    }
    skill = np.array([[each.skill for each in own.values()] for own in found.values()])
    return Probes(
        list(seen), [task.name for task in tasks], skill.reshape(len(seen), len(tasks)), found
    )


def _linear(task: Task) -> Task:
    """The task as a linear predictor answers it."""
    if getattr(task, "soft", False):
        raise InputError(
            f"Task {shorten(task.name)!r} has shares for labels: probe for each of them as a pc.Proportion of its own."
        )
    if isinstance(task, Binary | Multiclass | Regression):
        return task
    if task.kind in ("count", "quantile", "proportion"):
        return Regression(task.name)
    if task.kind == "ordinal":
        return Multiclass(task.name, classes=getattr(task, "classes", None))
    raise InputError(
        f"Task {shorten(task.name)!r} is {task.kind}: probe for each of its labels as a pc.Binary of its own."
    )


def _features(representation: Any, rows: int) -> Array:
    array = np.asarray(representation)
    if array.ndim == 0 or len(array) != rows:
        raise InputError(
            f"The representation has shape {list(array.shape)}, and there are {rows} labels."
        )
    flat = array.reshape(rows, math.prod(array.shape[1:])).astype("float64")
    if not np.isfinite(flat).all():
        raise InputError(
            "The representation has numbers that are NaN or infinite; leave these rows out."
        )
    return flat


def _raw(task: Task, units: TargetScaling, features: Array, y: Array, asked: Array) -> Array:
    """Raw outputs [n, units] for the rows that are asked, from the others."""
    if task.kind == "regression":
        return ridge(features, (y - units.location) / units.scale)(asked)
    number = max(task.units, 2)
    logits = logistic(features, y[:, 0], number)(asked)
    return logits if task.units == number else logits[:, 1:] - logits[:, :1]


def _probe(task: Task, score: Score, rows: int) -> Probe:
    reason = "" if math.isfinite(score.skill) else f"{task.headline} is not defined on these rows"
    return Probe(task.name, task.headline, score.value, score.trivial, score.skill, rows, reason)
