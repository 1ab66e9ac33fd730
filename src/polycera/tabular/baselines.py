"""Fit models that people know to the training rows of a run, and predict its judged rows.

The linear model is ridge, logistic or Poisson regression, the other extra-trees, both of
scikit-learn. They take the encoded columns as the network does, and one task at a time; where there
are many tasks, those that are labelled in the same rows share one fit. They are fitted when a
report is made, not when a run is trained: a training does not pay for them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polycera.interpretation.linear_models import logistic, poisson, ridge
from polycera.tasks import Multilabel, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

TREES = 100
"""Trees of a forest: scikit-learn's default."""
MOST_ALONE = 12
"""Tasks above which those that are labelled in the same rows share one fit."""
LINEAR_CELLS = 2**27
"""Most features of the training rows times features times outputs for the linear model."""
FOREST_CELLS = 2**28
"""Most rows times features tried at a split times outputs times trees for the forests."""
FEWEST_ROWS = 20
"""Fewest training rows with a label."""
NEVER = 1e-6
"""Least predicted share of a linear model."""


@dataclass(frozen=True)
class BaselinePredictions:
    """Holds what one baseline predicts.

    Attributes:
        name: `linear` or `extra_trees`.
        models: task -> what was fitted, in words.
        predicted: task -> predictions [n, p] for the judged rows.
        reasons: task -> why there is no baseline.
    """

    name: str
    models: dict[TaskName, str]
    predicted: dict[TaskName, Array]
    reasons: dict[TaskName, str]


Outputs = Callable[[Array], Array]
"""Function from features [m, width] to predicted numbers [m, outputs]."""


def baselines(
    tasks: Sequence[Task],
    features: Array,
    labels: Mapping[TaskName, Array],
    judged: Array,
    seed: int = 0,
) -> list[BaselinePredictions]:
    """Return the predictions of both baselines for every task.

    Args:
        tasks: what is predicted.
        features: of the training rows, [n, width].
        labels: task -> encoded labels of the training rows, [n, width]; NaN where missing.
        judged: features of the rows to predict, [m, width].
        seed: of the forests.
    """
    found = []
    for name, fit in (("linear", _linear), ("extra_trees", _forest)):
        result = BaselinePredictions(name, {}, {}, {})
        for group in _groups(tasks, labels, result.reasons):
            known = ~np.isnan(labels[group[0].name]).any(axis=1)
            targets = np.concatenate(
                [_numbers(task, labels[task.name][known]) for task in group], axis=1
            )
            with warnings.catch_warnings():
                # Of scikit-learn: a regression that has not converged is a baseline all the same.
                warnings.simplefilter("ignore")
                fitted = fit(group, features[known], labels[group[0].name][known], targets, seed)
            if isinstance(fitted, str):
                result.reasons.update(dict.fromkeys((task.name for task in group), fitted))
                continue
            model, predict = fitted
            # Only quantiles need the errors of the training rows.
            quantiles = group[0].kind == "quantile"
            left = targets - predict(features[known]) if quantiles else targets
            _add(result, group, model, predict(judged), left)
        found.append(result)
    return found


def _groups(
    tasks: Sequence[Task], labels: Mapping[TaskName, Array], reasons: dict[TaskName, str]
) -> list[list[Task]]:
    """Return the tasks that are fitted together; a reason for those that are not."""
    groups: dict[object, list[Task]] = {}
    for task in tasks:
        known = ~np.isnan(labels[task.name]).any(axis=1)
        y = labels[task.name][known]
        if len(y) < FEWEST_ROWS:
            reasons[task.name] = f"Fewer than {FEWEST_ROWS} training rows have a label."
        elif (y == y[:1]).all():
            reasons[task.name] = "All training labels are equal."
        else:
            alone = len(tasks) <= MOST_ALONE
            key = task.name if alone else (task.kind, known.tobytes())
            groups.setdefault(key, []).append(task)
    return list(groups.values())


def _numbers(task: Task, y: Array) -> Array:
    """Return labels [n, width] as the numbers that a regression predicts, [n, outputs]."""
    if task.kind == "binary" or isinstance(task, Multilabel) or not isinstance(task, ClassTask):
        return y
    return y if y.shape[1] > 1 else np.eye(len(task.known_classes()))[y[:, 0].astype(int)]


def _has_classes(task: Task) -> bool:
    """Return whether the labels of a task are classes, one a row."""
    return isinstance(task, ClassTask) and not getattr(task, "soft", False)


def _linear(
    group: Sequence[Task], features: Array, y: Array, targets: Array, seed: int
) -> tuple[str, Outputs] | str:
    """Return a name and a function that predicts, or a reason."""
    cost = features.size * features.shape[1] * targets.shape[1]
    task = group[0]
    if len(group) == 1 and _has_classes(task):
        number = 2 if task.kind == "binary" else targets.shape[1]
        if cost <= LINEAR_CELLS:
            logits = logistic(features, y[:, 0], number)
            first = 1 if task.kind == "binary" else 0
            words = ", which does not know the order of the levels"
            name = "logistic regression" + words * (task.kind == "ordinal")
            return name, lambda rows: np.exp(logits(rows))[:, first:]
    if task.kind == "count" and len(group) == 1 and cost <= LINEAR_CELLS:
        return "Poisson regression", poisson(features, targets)
    if features.size * features.shape[1] > LINEAR_CELLS:
        return f"{len(features):,} rows of {features.shape[1]:,} features are too many for it."
    scale = targets.std(axis=0)
    predict = ridge(features, targets / np.where(scale > 0, scale, 1.0))
    model = "ridge regression" + " on 0 and 1" * (_has_classes(task) or task.kind == "multilabel")
    return model, lambda rows: predict(rows) * np.where(scale > 0, scale, 1.0)


def _forest(
    group: Sequence[Task], features: Array, y: Array, targets: Array, seed: int
) -> tuple[str, Outputs] | str:
    """Return a name and a function that predicts, or a reason."""
    # Imported late: it takes half a second.
    from sklearn.ensemble import ExtraTreesRegressor

    tried = max(1, round(np.sqrt(features.shape[1])))
    # As in scikit-learn: numbers are split by all columns, classes by the root of their number.
    numbers = not (_has_classes(group[0]) or group[0].kind == "multilabel")
    if numbers and len(group) == 1:
        tried = features.shape[1]
    cost = len(features) * tried * targets.shape[1]
    trees = min(TREES, FOREST_CELLS // max(cost, 1))
    if trees < 10:
        return (
            f"{len(features):,} rows, {features.shape[1]:,} features and {targets.shape[1]:,} "
            "outputs are too many for it."
        )
    scale = targets.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    # On classes as 0 and 1 the variance is Gini's index: the same trees as a classifier grows.
    forest = ExtraTreesRegressor(trees, max_features=tried, random_state=seed)
    forest.fit(features, targets / scale if targets.shape[1] > 1 else targets[:, 0] / scale[0])
    edge = 0.5 / trees if not numbers else 0.0

    def predict(rows: Array) -> Array:
        values = forest.predict(rows).reshape(len(rows), -1) * scale
        # A leaf of one class does not mean that the other one is impossible.
        return np.clip(values, edge, 1 - edge) if edge else values

    return f"extra-trees of {trees} trees", predict


def _add(
    result: BaselinePredictions,
    group: Sequence[Task],
    model: str,
    values: Array,
    left: Array,
) -> None:
    """Add the predictions of a group of tasks.

    Args:
        result: gets them.
        group: the tasks.
        model: its name.
        values: predicted numbers [m, outputs].
        left: of quantile tasks the errors of the training rows, [n, outputs].
    """
    start = 0
    shared = f", fitted to {len(group)} tasks at once" if len(group) > 1 else ""
    for task in group:
        width = task.width
        if isinstance(task, ClassTask) and _many_classes(task):
            width = len(task.known_classes())
        part = slice(start, start + width)
        start += width
        result.models[task.name] = model + shared
        prediction = values[:, part]
        if isinstance(task, Quantile):
            prediction = prediction + np.quantile(left[:, part][:, 0], task.quantiles)
            result.models[task.name] += " with the quantiles of its training errors"
        elif task.kind == "count":
            prediction = np.maximum(prediction, NEVER)
        elif task.kind != "regression":
            prediction = np.clip(prediction, NEVER, 1 - NEVER)
            if _many_classes(task):
                prediction = prediction / prediction.sum(axis=1, keepdims=True)
        result.predicted[task.name] = prediction


def _many_classes(task: Task) -> bool:
    """Return whether a task predicts a share of each of several classes."""
    return task.kind in ("multiclass", "ordinal")
