"""Bring metrics of several tasks to one scale and direction, and combine them into one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polycera.errors import InputError, shorten
from polycera.typing import Array


@dataclass(frozen=True)
class EpochMetrics:
    """Holds the values of k watched metrics in all epochs so far.

    Attributes:
        value, trivial: [epochs, k]; NaN where undefined. The trivial predictor's value may differ
            from epoch to epoch where validation rows do.
        ideal: the value of a perfect predictor, [k]; infinite where only the direction is known.
        reference: the value of separate networks, [k]; NaN where none is given.
    """

    value: Array
    trivial: Array
    ideal: Array
    reference: Array

    @property
    def gap(self) -> Array:
        """Return the distance from ideal, [epochs, k]: lower is better for every metric.

        An infinite ideal gives only the direction: the gap is then the value itself, or its
        negative.
        """
        defined = np.isfinite(self.ideal)
        gap = np.abs(self.value - np.where(defined, self.ideal, 0.0))
        return np.where(defined, gap, np.where(np.asarray(self.ideal) > 0, -self.value, self.value))


def skill(metrics: EpochMetrics) -> Array:
    """Return skills, [epochs, k]: 0 the trivial predictor, 1 perfect, below 0 worse."""
    return 1.0 - _over(metrics.gap, np.abs(metrics.trivial - metrics.ideal))


def minmax(metrics: EpochMetrics) -> Array:
    """Return 0 for the worst epoch so far and 1 for the best, [epochs, k].

    An epoch that is infinitely far from ideal scores minus infinity, and the range is that of the
    other epochs.
    """
    gap = np.where(np.isinf(metrics.gap), np.nan, metrics.gap)
    worst, best = _nan(np.nanmax, gap), _nan(np.nanmin, gap)
    spread = worst - best
    scaled = np.where(
        spread > 0,
        (worst - gap) / np.where(spread > 0, spread, 1.0),
        np.where(np.isnan(gap), np.nan, 1.0),
    )
    return np.where(np.isinf(metrics.gap), -np.inf, scaled)


def first(metrics: EpochMetrics) -> Array:
    """Return 0 for the first epoch with a defined metric and 1 for perfect, [epochs, k]."""
    start = [next((gap for gap in column if not np.isnan(gap)), np.nan) for column in metrics.gap.T]
    return 1.0 - _over(metrics.gap, np.array(start)[None, :])


def single(metrics: EpochMetrics) -> Array:
    """Return the relative gain over separate networks, [epochs, k]; 0 where they are equal.

    This is delta-m of the literature.
    """
    sign = np.where(metrics.reference <= metrics.ideal, 1.0, -1.0)
    return sign * _over(
        metrics.value - metrics.reference, np.abs(metrics.reference) + np.zeros_like(metrics.value)
    )


SCALES: Mapping[str, Callable[[EpochMetrics], Array]] = {
    "skill": skill,
    "minmax": minmax,
    "first": first,
    "single": single,
}
"""Scales by name: epochs so far -> scaled metrics [epochs, k], higher is better."""


NEEDS: Mapping[str, tuple[str, ...]] = {
    "skill": ("trivial", "ideal"),
    "minmax": (),
    "first": ("ideal",),
    "single": (),
}
"""Facts about a metric that each scale needs beside its values and its direction."""


def own_scale(scale: object, names: Sequence[str], metrics: EpochMetrics) -> Array:
    """Scale metrics by functions that the user wrote.

    Args:
        scale: a function of `EpochMetrics`, or a dict: name -> function from a value to a number,
            higher is better.
        names: names of the metrics, k.
        metrics: the epochs so far.

    Returns:
        the scaled metrics, [epochs, k].

    Raises:
        InputError: where the result is not one number for each epoch and metric.
    """
    value = np.asarray(metrics.value, "float64")
    if isinstance(scale, Mapping):
        columns = [
            [_scaled_value(name, scale[name], metric_value) for metric_value in value[:, i]]
            for i, name in enumerate(names)
        ]
        return np.array(columns, "float64").reshape(len(names), -1).T
    assert callable(scale)
    returned = scale(metrics)
    try:
        scaled = np.asarray(returned, "float64")
    except (TypeError, ValueError):
        scaled = np.zeros(0)
    if scaled.shape != value.shape:
        raise InputError(
            f"The function given as scale= returned {shorten(repr(returned), 60)}; expected one "
            f"number for each epoch and metric, an array of shape {list(value.shape)} as "
            "metrics.value has, where higher is better."
        )
    return scaled


def _scaled_value(name: str, function: Callable[[float], float], value: float) -> float:
    """Return the scaled value of one metric in one epoch.

    Raises:
        InputError: where the user's function does not return a number.
    """
    returned = function(float(value))
    try:
        return float(returned)
    except (TypeError, ValueError):
        raise InputError(
            f"The function given as scale= of {shorten(name)!r} returned "
            f"{shorten(repr(returned), 60)} for {value:g}; expected one number, where higher is "
            "better."
        ) from None


def mean(scaled: Array, weights: Array) -> Array:
    """Return the weighted mean over the metrics that are defined, [epochs]."""
    used = weights > 0  # a metric without weight may be minus infinity, and 0 times that is NaN
    scaled, weights = scaled[:, used], weights[used]
    defined = ~np.isnan(scaled)
    return _over(np.where(defined, scaled, 0.0) @ weights, defined @ weights)


def geometric(scaled: Array, weights: Array) -> Array:
    """Return the weighted geometric mean, [epochs]; a value below 0 counts as 0."""
    used = weights > 0  # an infinite logarithm times 0 would be NaN
    # the logarithm of 0 is minus infinity, and its exponential is 0 again
    with np.errstate(divide="ignore"):
        return np.exp(mean(np.log(np.maximum(scaled[:, used], 0.0)), weights[used]))


def worst(scaled: Array, weights: Array) -> Array:
    """Return the lowest of the metrics with a weight above 0, [epochs]."""
    return _nan(np.nanmin, np.where(weights > 0, scaled, np.nan).T)


MEANS: Mapping[str, Callable[[Array, Array], Array]] = {
    "mean": mean,
    "geometric": geometric,
    "worst": worst,
}
"""Means by name: scaled metrics [epochs, k], weights [k] -> [epochs]; NaN if nothing is defined."""


def best(scores: Sequence[float] | Array) -> int | None:
    """Return the first epoch with the highest score; None where none is defined."""
    scores = np.asarray(scores, "float64")
    # nanargmax treats a NaN as minus infinity, which is a possible score here
    defined = np.flatnonzero(~np.isnan(scores))
    return int(defined[np.argmax(scores[defined])]) if len(defined) else None


def leader(scores: Array, before: int | None, min_delta: float = 0.0) -> int | None:
    """Return the epoch to beat after the last one: the last one if it is better, else `before`.

    Args:
        scores: the joint scores of all epochs, on the scale as it is after the last one.
        before: the epoch to beat until now; None where there is none.
        min_delta: the last epoch has to be better by more than this.
    """
    now = len(scores) - 1
    if np.isnan(scores[now]):
        return before
    if before is None or np.isnan(scores[before]):
        return now
    return now if scores[now] > scores[before] + min_delta else before


def _over(numerator: Array, denominator: Array) -> Array:
    """Return a quotient; NaN where the denominator is 0."""
    good = np.abs(denominator) > 0
    return np.where(good, numerator / np.where(good, denominator, 1.0), np.nan)


def _nan(reduce: Callable[..., Array], values: Array) -> Array:
    """Reduce the first axis; return NaN where all values are NaN, without a warning."""
    # NumPy warns about columns that are all NaN, so they are filled before the reduction
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, reduce(np.where(empty, 0.0, values), axis=0))
