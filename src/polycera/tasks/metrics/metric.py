"""Define a metric: name, direction, ideal, value, and the value of the trivial predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.typing import Array

Tallies = dict[str, Array]
"""Type of sums over rows by name; the first axis holds the k tasks of a group. See `Tally`."""


@dataclass(frozen=True)
class Metric:
    """Describes a metric of a kind, which is computed for all tasks of a group at once.

    Attributes:
        name: name in the logs.
        direction: `"max"`, `"min"`, or `"target"` where nearer to the ideal is better.
        value: tallies -> [k]; NaN where it is undefined.
        trivial: tallies -> [k], the value of the trivial predictor on the same rows.
        ideal: value of a perfect predictor, or a function of the task where it depends on the task.
        needs: names of the tallies that the metric is computed from.
        scaled: power of the target's scale by which the value is multiplied to undo target scaling:
            1 where the metric is in units of the label.
        best: tallies -> [k], the value of a perfect predictor where it depends on the labels. It
            replaces `ideal`.
    """

    name: str
    direction: str
    value: Callable[[Tallies], Array]
    trivial: Callable[[Tallies], Array]
    ideal: float | Callable[[Any], float]
    needs: tuple[str, ...]
    scaled: int = 0
    best: Callable[[Tallies], Array] | None = None

    def ideal_for(self, task: Any) -> float:
        """Return the value of a perfect predictor of this task."""
        return self.ideal(task) if callable(self.ideal) else self.ideal


def skill(value: Array | float, trivial: Array | float, ideal: Array | float) -> Array:
    """Return a metric on the common scale: 0 for the trivial predictor, 1 for a perfect one.

    It is below 0 for a predictor that is worse than trivial. It is one minus the distance from the
    ideal divided by the trivial predictor's distance. It is NaN where either value is undefined, or
    where the trivial predictor is already perfect.

    Examples:
        >>> import numpy as np
        >>> skill(np.array([0.8]), np.array([0.5]), 1.0)
        array([0.6])
    """
    trivial_distance = np.abs(np.asarray(trivial, float) - ideal)
    return divide(trivial_distance - np.abs(np.asarray(value, float) - ideal), trivial_distance)


def divide(a: Array | float, b: Array | float) -> Array:
    """Return a / b, NaN where b is 0: what is undefined is never 0 or 1."""
    # `where` and `out` avoid the warning of a division by 0.
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def mean_of_defined(values: Array, axis: int = -1) -> Array:
    """Return the mean of the values that are not NaN, or NaN where all are."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0.0).sum(axis), known.sum(axis))
