"""Metrics of several tasks brought to one scale and one direction, and put together as one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polycera.errors import InputError, shorten
from polycera.typing import Array


@dataclass(frozen=True)
class EpochMetrics:
    """What the epochs so far measured of the watched metrics.

    Attributes:
        value, trivial: [epochs, k]; NaN where undefined. The trivial predictor's value may differ
            from epoch to epoch where validation rows do.
        ideal: what a perfect predictor reaches, [k]; infinite where only the direction is known.
        reference: what separate networks reach, [k]; NaN where nobody said.
    """

    value: Array
    trivial: Array
    ideal: Array
    reference: Array

    @property
    def gap(self) -> Array:
        """How far from ideal, [epochs, k]: lower is better, whatever the metric's direction.

        An infinite ideal says which way is better and no more: the gap is then the value itself, or
            its negative.
        """
        known = np.isfinite(self.ideal)
        gap = np.abs(self.value - np.where(known, self.ideal, 0.0))
        return np.where(known, gap, np.where(np.asarray(self.ideal) > 0, -self.value, self.value))


def skill(seen: EpochMetrics) -> Array:
    """0 the trivial predictor, 1 perfect, below 0 worse than trivial."""
    return 1.0 - _over(seen.gap, np.abs(seen.trivial - seen.ideal))


def minmax(seen: EpochMetrics) -> Array:
    """0 the worst epoch so far, 1 the best: each new extreme rescores all epochs before it.

    An epoch that is infinitely far from ideal counts as minus infinity, and the others among
    themselves.
    """
    gap = np.where(np.isinf(seen.gap), np.nan, seen.gap)
    worst, best = _nan(np.nanmax, gap), _nan(np.nanmin, gap)
    spread = worst - best
    scaled = np.where(
        spread > 0,
        (worst - gap) / np.where(spread > 0, spread, 1.0),
        np.where(np.isnan(gap), np.nan, 1.0),
    )
    return np.where(np.isinf(seen.gap), -np.inf, scaled)


def first(seen: EpochMetrics) -> Array:
    """0 the first epoch in which the metric was defined, 1 perfect."""
    start = [next((gap for gap in column if not np.isnan(gap)), np.nan) for column in seen.gap.T]
    return 1.0 - _over(seen.gap, np.array(start)[None, :])


def single(seen: EpochMetrics) -> Array:
    """Gain over a separate network, as a part of what that reaches: delta-m of the literature, 0 for equals."""
    sign = np.where(seen.reference <= seen.ideal, 1.0, -1.0)
    return sign * _over(
        seen.value - seen.reference, np.abs(seen.reference) + np.zeros_like(seen.value)
    )


SCALES: Mapping[str, Callable[[EpochMetrics], Array]] = {
    "skill": skill,
    "minmax": minmax,
    "first": first,
    "single": single,
}
"""Ways to one scale: what was seen -> scaled metrics [epochs, k], higher is better."""


NEEDS: Mapping[str, tuple[str, ...]] = {
    "skill": ("trivial", "ideal"),
    "minmax": (),
    "first": ("ideal",),
    "single": (),
}
"""What each scale has to know of a metric beside its values and its direction."""


def own_scale(scale: object, names: Sequence[str], seen: EpochMetrics) -> Array:
    """Scale metrics by functions of the user's own.

    Args:
        scale: a function of `Seen`, or a dict: name -> function from a value to a number, higher is
            better.
        names: of the metrics, k.
        seen: the epochs so far.

    Returns:
        [epochs, k].

    Raises:
        InputError: where the result is not one number for each epoch and metric.
    """
    value = np.asarray(seen.value, "float64")
    if isinstance(scale, Mapping):
        columns = [
            [_one(name, scale[name], number) for number in value[:, i]]
            for i, name in enumerate(names)
        ]
        return np.array(columns, "float64").reshape(len(names), -1).T
    assert callable(scale)
    found = scale(seen)
    try:
        scaled = np.asarray(found, "float64")
    except (TypeError, ValueError):
        scaled = np.zeros(0)
    if scaled.shape != value.shape:
        raise InputError(
            f"The function given as scale= returned {shorten(repr(found), 60)}; expected one number for each epoch and "
            f"metric, an array of shape {list(value.shape)} as seen.value has, where higher is better."
        )
    return scaled


def _one(name: str, function: Callable[[float], float], value: float) -> float:
    found = function(float(value))
    try:
        return float(found)
    except (TypeError, ValueError):
        raise InputError(
            f"The function given as scale= of {shorten(name)!r} returned {shorten(repr(found), 60)} for {value:g}; "
            "expected one number, where higher is better."
        ) from None


def mean(scaled: Array, weights: Array) -> Array:
    """The weighted mean over what is defined, [epochs]."""
    used = weights > 0  # what has no weight may be infinitely bad
    scaled, weights = scaled[:, used], weights[used]
    known = ~np.isnan(scaled)
    return _over(np.where(known, scaled, 0.0) @ weights, known @ weights)


def geometric(scaled: Array, weights: Array) -> Array:
    """The weighted geometric mean; what is below 0 counts as 0."""
    used = weights > 0  # an infinite logarithm times 0 would be NaN
    with np.errstate(divide="ignore"):
        return np.exp(mean(np.log(np.maximum(scaled[:, used], 0.0)), weights[used]))


def worst(scaled: Array, weights: Array) -> Array:
    """The lowest of those with a weight above 0."""
    return _nan(np.nanmin, np.where(weights > 0, scaled, np.nan).T)


MEANS: Mapping[str, Callable[[Array, Array], Array]] = {
    "mean": mean,
    "geometric": geometric,
    "worst": worst,
}
"""Ways to one number: scaled metrics [epochs, k], weights [k] -> [epochs], NaN where nothing is defined."""


def best(scores: Sequence[float] | Array) -> int | None:
    """The first epoch with the highest score; None where none is defined."""
    scores = np.asarray(scores, "float64")
    known = np.flatnonzero(~np.isnan(scores))  # nanargmax takes a NaN for minus infinity
    return int(known[np.argmax(scores[known])]) if len(known) else None


def _over(numerator: Array, denominator: Array) -> Array:
    """A quotient, NaN where there is nothing to divide by."""
    good = np.abs(denominator) > 0
    return np.where(good, numerator / np.where(good, denominator, 1.0), np.nan)


def _nan(reduce: Callable[..., Array], values: Array) -> Array:
    """A reduction over the first axis that leaves NaN where all is NaN, without a warning."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, reduce(np.where(empty, 0.0, values), axis=0))
