"""How far chance alone can move a mean over a few seeds: Student's t, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class MeanInterval(NamedTuple):
    """A mean and its interval; None where it is not defined.

    Attributes:
        mean: of the values that are defined.
        low, high: of the interval; None where there are fewer than two values.
    """

    mean: float | None
    low: float | None
    high: float | None


def interval(values: Sequence[float | None], confidence: float = 0.95) -> MeanInterval:
    """The mean of a few values and its interval of Student's t.

    Args:
        values: one a seed; None where undefined, which is left out.
        confidence: how often such an interval holds the true mean, where the values are normal.

    Example:
        >>> interval([1.0, 2.0, 3.0])
        Mean(mean=2.0, low=-0.484..., high=4.484...)
    """
    known = [value for value in values if value is not None]
    if not known:
        return MeanInterval(None, None, None)
    mean = math.fsum(known) / len(known)
    if len(known) < 2:
        return MeanInterval(mean, None, None)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    half = quantile((1 + confidence) / 2, len(known) - 1) * deviation / math.sqrt(len(known))
    return MeanInterval(mean, mean - half, mean + half)


def quantile(probability: float, freedom: int) -> float:
    """Below which value Student's t lies with this probability.

    The distribution function of whole degrees of freedom is a finite sum (Abramowitz and Stegun
    1964, 26.7.3 and 26.7.4) in the angle whose tangent is t / sqrt(freedom); it is inverted by
    halving.

    Args:
        probability: 0.5 to 1, without 1.
        freedom: degrees of freedom, 1 or more.
    """
    low, high, wanted = 0.0, math.pi / 2, 2 * probability - 1
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _within(middle, freedom) < wanted else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle: float, freedom: int) -> float:
    """The probability that |t| is below sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (power + 1) / (power + 2)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
