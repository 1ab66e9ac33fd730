"""Compute Student's t interval of a mean over a few seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class MeanInterval(NamedTuple):
    """Holds a mean and its interval; None where it is not defined.

    Attributes:
        mean: mean of the values that are defined.
        low, high: ends of the interval; None where there are fewer than two values.
    """

    mean: float | None
    low: float | None
    high: float | None


def interval(values: Sequence[float | None], confidence: float = 0.95) -> MeanInterval:
    """Return the mean of a few values and its interval by Student's t.

    Args:
        values: one value for each seed; None where undefined, which is left out.
        confidence: how often such an interval contains the true mean, where the values are normal.

    Examples:
        >>> interval([1.0, 2.0, 3.0])
        MeanInterval(mean=2.0, low=-0.484..., high=4.484...)
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return MeanInterval(None, None, None)
    mean = math.fsum(defined) / len(defined)
    if len(defined) < 2:
        return MeanInterval(mean, None, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in defined) / (len(defined) - 1))
    # Not scipy.stats.t.interval, which gives NaN where all values are equal.
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(defined) - 1, (1 + confidence) / 2))
    half = quantile * deviation / math.sqrt(len(defined))
    return MeanInterval(mean, mean - half, mean + half)
