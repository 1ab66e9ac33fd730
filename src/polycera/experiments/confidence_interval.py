"""Compute Student's t interval of a mean over a few seeds, without SciPy."""

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
    half = quantile((1 + confidence) / 2, len(defined) - 1) * deviation / math.sqrt(len(defined))
    return MeanInterval(mean, mean - half, mean + half)


def quantile(probability: float, freedom: int) -> float:
    """Return the value that Student's t does not exceed with this probability.

    The distribution function for whole degrees of freedom is a finite sum (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4) in the angle whose tangent is t / sqrt(freedom). It is inverted by
    bisection.

    Args:
        probability: from 0.5 up to, but without, 1.
        freedom: degrees of freedom, 1 or more.
    """
    low, high, target = 0.0, math.pi / 2, 2 * probability - 1
    # Stops when no float lies between the ends: the last digit is reached.
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _within(middle, freedom) < target else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """Return the probability that |t| is below sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
