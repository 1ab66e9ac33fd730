"""What the joint network gains over separate ones: task by task, and as one number over all tasks."""

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
    """One task: the difference of each seed's pair, their mean and its interval.

    Args:
        joint, separate: of the same seeds in the same order, [seeds].
        metric: name of what is compared.
        confidence: of the interval, 0.95 for instance.
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
    """Return who is better, where the whole interval of the difference is on one side of 0.

    An interval without a width names nobody: the seeds have changed nothing, so they say nothing
        about chance.
    """
    if low is None or high is None or flat(low, high):
        return "neither"
    if low > 0:
        return "joint"
    return "separate" if high < 0 else "neither"


def flat(low: float, high: float) -> bool:
    """Return whether an interval has no width, but for the rounding of float32."""
    return high - low <= 1e-6 * max(abs(low), abs(high))


def difference(joint: Score, separate: Score) -> float | None:
    """Positive where the joint network is better, in the metric's unit; None where one of the two is undefined.

    Of a metric that should reach a value, neither as high nor as low as it can, the distances to
    that value count.
    """
    if joint.direction == "max":
        return _defined(joint.value - separate.value)
    return _defined(_error(separate) - _error(joint))


def relative(joint: Score, separate: Score) -> float | None:
    """The difference as a part of what the separate network reaches; None where that is 0, or undefined."""
    base = abs(separate.value if separate.direction == "max" else _error(separate))
    gained = difference(joint, separate)
    return None if gained is None or not base > 0 else _defined(gained / base)


def delta_m(joint: Mapping[str, Score], separate: Mapping[str, Score]) -> float | None:
    """The mean over the tasks of their relative gains, as a part: 0.1 is a tenth better.

    Maninis, Radosavovic, Kokkinos 2019, arXiv:1904.08918, as Vandenhende et al. 2021,
    arXiv:2004.13379, write it: delta_m = 1/T sum_i (-1)^{l_i} (M_{m,i} - M_{b,i}) / M_{b,i}, with
    l_i = 1 where lower is better.

    Where we differ: the denominator is |M_{b,i}|, so that a metric below 0 (R2, a correlation) does
    not turn its sign round; a task whose M_{b,i} is 0 or undefined is left out of the mean.

    Args:
        joint, separate: task -> score, of one seed.

    Returns:
        None where no task has a relative gain.

    Example:
        >>> auc, rmse = (Score(0.75, 0.5, 1.0, "max"), Score(3.0, 9.0, 0.0, "min"))
        >>> alone = {"churn": Score(0.6, 0.5, 1.0, "max"), "loss": Score(4.0, 9.0, 0.0, "min")}
        >>> delta_m({"churn": auc, "loss": rmse}, alone)
        0.25
    """
    parts = [relative(joint[name], separate[name]) for name in separate]
    known = [part for part in parts if part is not None]
    return math.fsum(known) / len(known) if known else None


def mean_defined(values: Sequence[float | None]) -> float | None:
    """The mean of what is defined; None where nothing is."""
    return interval(values).mean


def _error(score: Score) -> float:
    return abs(score.value - score.ideal) if score.direction == "target" else score.value


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
