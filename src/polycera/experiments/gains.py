"""Compute the gain of the joint network over separate ones, by task and over all tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from polycera.experiments.confidence_interval import interval
from polycera.runs.results import Gain

if TYPE_CHECKING:
    from polycera.model import Score


def gain_of(
    joint: Sequence[Score], separate: Sequence[Score], metric: str, confidence: float
) -> Gain:
    """Return the gain in one task: the difference for each seed, their mean and its interval.

    Args:
        joint, separate: scores of the same seeds in the same order, [seeds].
        metric: name of the metric that is compared.
        confidence: probability of the interval, for instance 0.95.
    """
    differences = [difference(a, b) for a, b in zip(joint, separate, strict=True)]
    mean, low, high = interval(differences, confidence)
    return Gain(
        metric=metric,
        direction=joint[0].direction,
        joint=[_defined(score.value) for score in joint],
        separate=[_defined(score.value) for score in separate],
        difference=mean,
        low=low,
        high=high,
        better=better(low, high),
    )


def better(low: float | None, high: float | None) -> Literal["joint", "separate", "neither"]:
    """Return which side is better: the whole interval of the difference is on one side of 0.

    An interval without a width names no side: the seeds changed nothing, so they say nothing about
    chance.
    """
    if low is None or high is None or flat(low, high):
        return "neither"
    if low > 0:
        return "joint"
    return "separate" if high < 0 else "neither"


def flat(low: float, high: float) -> bool:
    """Return whether an interval has no width, up to the rounding of float32."""
    return high - low <= 1e-6 * max(abs(low), abs(high))


def difference(joint: Score, separate: Score) -> float | None:
    """Return the difference in the metric's own scale, positive where the joint network is better.

    None where one of the two is undefined. Where a metric has a target value, rather than a best
    direction, the distances to this value are compared.
    """
    if joint.direction == "max":
        return _defined(joint.value - separate.value)
    return _defined(_error(separate) - _error(joint))


def relative(joint: Score, separate: Score) -> float | None:
    """Return the difference relative to what the separate network reaches.

    None where the latter is 0, or the difference is undefined.
    """
    base = abs(separate.value if separate.direction == "max" else _error(separate))
    gained = difference(joint, separate)
    return None if gained is None or not base > 0 else _defined(gained / base)


def delta_m(joint: Mapping[str, Score], separate: Mapping[str, Score]) -> float | None:
    """Return the mean over the tasks of their relative gains, as a fraction: 0.1 is a tenth better.

    Maninis, Radosavovic, Kokkinos 2019, arXiv:1904.08918, in the notation of Vandenhende et al.
    2021, arXiv:2004.13379: delta_m = 1/T sum_i (-1)^{l_i} (M_{m,i} - M_{b,i}) / M_{b,i}, with l_i =
    1 where lower is better.

    Where we differ: the denominator is |M_{b,i}|, so that a metric below 0 (R2, a correlation) does
    not reverse the sign; a task whose M_{b,i} is 0 or undefined is left out of the mean.

    Args:
        joint, separate: task -> score, for one seed.

    Returns:
        the mean; None where no task has a relative gain.

    Examples:
        >>> from polycera.model import Score
        >>> auc, rmse = (Score(0.75, 0.5, 1.0, "max"), Score(3.0, 9.0, 0.0, "min"))
        >>> alone = {"churn": Score(0.6, 0.5, 1.0, "max"), "loss": Score(4.0, 9.0, 0.0, "min")}
        >>> delta_m({"churn": auc, "loss": rmse}, alone)
        0.25
    """
    task_gains = [relative(joint[name], separate[name]) for name in separate]
    defined = [gain for gain in task_gains if gain is not None]
    return math.fsum(defined) / len(defined) if defined else None


def mean_defined(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are defined; None where there are none."""
    return interval(values).mean


def _error(score: Score) -> float:
    """Return a score as an error: lower is better."""
    return abs(score.value - score.ideal) if score.direction == "target" else score.value


def _defined(value: float) -> float | None:
    """Return the value as a float, and None for NaN or infinity."""
    return float(value) if np.isfinite(value) else None
