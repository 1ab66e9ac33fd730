"""What a metric is: a name, a direction, an ideal, its value and the value of the trivial predictor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.typing import Array

Tallies = dict[str, Array]
"""Sums over rows by name, each with the k tasks of a group in front; see `Tally`."""


@dataclass(frozen=True)
class Metric:
    """One metric of a kind, computed for all tasks of a group at once.

    Attributes:
        name: as it is logged.
        direction: `"max"`, `"min"`, or `"target"` where neither more nor less is better, but nearer
            to the ideal.
        value: tallies -> [k]; NaN where it is undefined.
        trivial: tallies -> [k], the value that the trivial predictor reaches on the same rows.
        ideal: the value of a perfect predictor; a function of the task where it depends on it.
        needs: names of the tallies it is computed from.
        scaled: power of the label's scale by which the value is multiplied: 1 where it is in units
            of the label.
        best: tallies -> [k], the value of a perfect predictor where it depends on the labels; in
            place of `ideal`.
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
        """The value of a perfect predictor of this task."""
        return self.ideal(task) if callable(self.ideal) else self.ideal


def skill(value: Array | float, trivial: Array | float, ideal: Array | float) -> Array:
    """A metric on the common scale: 0 the trivial predictor, 1 perfect, below 0 worse than trivial.

    One minus the distance from the ideal, in units of the trivial predictor's distance. NaN where
    either value is undefined, or where the trivial predictor is perfect already.

    Examples:
        >>> import numpy as np
        >>> skill(np.array([0.8]), np.array([0.5]), 1.0)
        array([0.6])
    """
    reach = np.abs(np.asarray(trivial, float) - ideal)
    return divide(reach - np.abs(np.asarray(value, float) - ideal), reach)


def divide(a: Array | float, b: Array | float) -> Array:
    """a / b, NaN where b is 0: undefined is never 0 or 1."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def mean_of_defined(values: Array, axis: int = -1) -> Array:
    """Mean over what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0.0).sum(axis), known.sum(axis))
