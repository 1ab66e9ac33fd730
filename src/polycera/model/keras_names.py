"""Name what a model measures as stock Keras does, so that scripts written for Keras work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.model.objective import Objective
from polycera.typing import Array

POWERS = {"mse": 2, "mae": 1, "pinball": 1}
"""Losses that grow with a power of the unit of their label, and the power."""

VAL = "val_"
"""Prefix of validation numbers in Keras's logs."""

Spellings = Mapping[str, Mapping[str, str]]
"""Task -> metric -> how the user wrote it."""


def aliases(
    objective: Objective,
    named: Mapping[str, float],
    scale: Array,
    prefix: bool,
    spellings: Spellings,
) -> dict[str, float]:
    """Return what was measured under the names of stock Keras, in the user's units.

    `price_loss` is the loss of a task without its loss weight: the sum over its terms of term
    weight x term. If labels were standardised, a loss that does not grow with a power of their unit
    has no value in that unit, and is left out.

    Args:
        objective: names tasks, terms and metrics.
        named: `task/term` and `task/metric` -> value.
        scale: of the target scaling, [tasks].
        prefix: whether names begin with the task's, as in models with several outputs.
        spellings: task -> metric -> how the user gave it to stock Keras.
    """
    values_by_alias: dict[str, float] = {}
    if prefix:
        values_by_alias |= _losses(objective, named, scale)
    for name, task in objective.layout.tasks.items():
        for metric in task.metric_names:
            spelling = spellings.get(name, {}).get(metric, metric)
            if f"{name}/{metric}" in named:
                values_by_alias[f"{name}_{spelling}" if prefix else spelling] = named[
                    f"{name}/{metric}"
                ]
    return {name: value for name, value in values_by_alias.items() if name not in named}


def alias_names(
    objective: Objective, scale: Array, prefix: bool, spellings: Spellings
) -> list[str]:
    """Return the names of `aliases`, in its order."""
    names = [name for name in objective.names if "/" in name]
    names += [
        f"{name}/{metric}"
        for name, task in objective.layout.tasks.items()
        for metric in task.metric_names
    ]
    return list(aliases(objective, dict.fromkeys(names, 0.0), scale, prefix, spellings))


def _losses(objective: Objective, named: Mapping[str, float], scale: Array) -> dict[str, float]:
    """Return `task_loss` -> value for tasks whose loss has a value in the user's units."""
    factors, owner, tasks = _factors(objective, scale), objective.owner, len(objective.layout.tasks)
    values = np.array([named.get(name, np.nan) for name in objective.names], "float64")
    known = ~np.isnan(values)  # a term without a row is NaN, and takes no part
    parts = np.where(known, values * objective.term_weights * factors, 0.0)
    totals, counts, unknown = (
        np.bincount(owner, weights=vector, minlength=tasks + 1)
        for vector in (parts, known, np.isnan(factors))
    )
    rows = zip(objective.layout.tasks, totals, counts, unknown, strict=False)
    return {
        f"{name}_loss": float(total) if count else np.nan
        for name, total, count, has_no_unit in rows
        if not has_no_unit
    }


def _factors(objective: Objective, scale: Array) -> Array:
    """Return the factor that brings each term into the user's units, [terms].

    NaN stands for a term that no factor brings there.
    """
    scale_of = dict(zip(objective.layout.tasks, scale.tolist(), strict=True))
    factors: list[float] = []
    for parts in objective.grouped_terms:
        for part in parts:
            power = _power(part.term.loss)
            for task in part.group.tasks:
                unit = scale_of[task.name]
                factors.append(1.0 if unit == 1.0 else np.nan if power is None else unit**power)
    return np.array(factors + [1.0] * len(objective.layout.joints))


def _power(loss: Any) -> int | None:
    """Return the power of the label's unit with which a loss grows; None if there is none."""
    if isinstance(loss, str):
        return POWERS.get(loss)
    if isinstance(loss, keras.losses.MeanSquaredError):
        return 2
    return 1 if isinstance(loss, keras.losses.MeanAbsoluteError) else None


# -- callbacks of stock Keras that monitor one of these names --------------------------------------


def settle_modes(callbacks: Any, directions_of: Callable[[], Mapping[str, str]]) -> None:
    """Set which way is better for callbacks of stock Keras, from what they monitor.

    With `mode="auto"` Keras looks for the direction among its own compiled metrics, which a
    polycera model does not have.

    Args:
        callbacks: what `fit` was given.
        directions_of: returns every name that the model logs -> `min`, `max` or `target`; called
            only if it is needed.

    Raises:
        UnknownName: for a name that is not logged.
        InputError: for a metric that is best at a value, neither high nor low.
    """
    for callback in flat(callbacks):
        monitor = getattr(callback, "monitor", None)
        if (
            not isinstance(monitor, str)
            or getattr(callback, "mode", None) != "auto"
            or not _compares(callback)
        ):
            continue
        kind, name, directions = (
            type(callback).__name__,
            monitor.removeprefix(VAL),
            directions_of(),
        )
        direction = directions.get(monitor, directions.get(name))
        if direction is None:
            known = (
                [VAL + name for name in directions] if monitor.startswith(VAL) else list(directions)
            )
            raise UnknownName(
                f"name to monitor for {kind}:",
                monitor,
                known,
                "A number that a callback of your own logs needs mode='max' or mode='min'.",
            )
        if direction == "target":
            raise InputError(
                f"{kind} is to monitor {shorten(monitor)!r}, which is best at a certain value, "
                "not when it is high or low: monitor its skill, as pc.callbacks.JointScore logs "
                "it, or give mode='max' or mode='min'."
            )
        callback.mode = direction


def _compares(callback: Any) -> bool:
    """Return whether a callback compares epochs; a checkpoint of every epoch does not."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return bool(callback.save_best_only)
    return hasattr(callback, "monitor_op")


def flat(callbacks: Any) -> list[Any]:
    """Return the callbacks of a `fit` as one list."""
    callbacks = getattr(callbacks, "callbacks", callbacks)  # a CallbackList
    return keras.tree.flatten([] if callbacks is None else callbacks)
