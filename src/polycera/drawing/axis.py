"""From a number to its place along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from polycera.drawing import ticks
from polycera.drawing.ticks import Tick
from polycera.errors import InputError

_NOISE = 1e-12
"""A range that is this small a part of its numbers is what rounding left: they are taken for equal."""
_LEAST = 1e-300
"""The least number that a logarithmic axis is made for."""


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        low, high: its ends, low < high.
        ticks: between them.
        log: whether equal distances are equal ratios.
    """

    low: float
    high: float
    ticks: list[Tick]
    log: bool = False

    def at(self, values: np.ndarray | float) -> np.ndarray:
        """Places: 0 at the low end, 1 at the high end, outside where the numbers are."""
        seen, low, high = np.asarray(values, "float64"), self.low, self.high
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                seen, low, high = (
                    np.log10(np.where(seen > 0, seen, np.nan)),
                    math.log10(low),
                    math.log10(high),
                )
        return (seen / 2 - low / 2) / (high / 2 - low / 2)


def axis(
    values: Iterable[np.ndarray],
    *,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    tight: bool = False,
    whole: bool = False,
    count: int = 5,
) -> Axis:
    """An axis for these numbers.

    Args:
        values: arrays, NaN where undefined.
        low, high: its ends where they are fixed.
        log: logarithmic; numbers that are not positive have no place on it.
        tight: ends where the numbers end, and not at the mark beyond.
        whole: has marks at whole numbers only.
        count: about how many marks.

    Raises:
        InputError: where `low` is not below `high`, or not positive on a logarithmic axis.
    """
    _checked(low, high, log)
    first, last = _range(values, log)
    first, last = _apart(
        first if low is None else low, last if high is None else high, low, high, log, whole
    )
    found = (
        ticks.logarithmic(first, last, count)
        if log
        else ticks.linear(first, last, count, whole=whole)
    )
    if not tight:
        first, last = (
            found[0].value if low is None else first,
            found[-1].value if high is None else last,
        )
    return Axis(first, last, [tick for tick in found if first <= tick.value <= last], log)


def _checked(low: float | None, high: float | None, log: bool) -> None:
    if any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise InputError(f"An axis from {low} to {high} has no end: give finite numbers, or None.")
    if low is not None and high is not None and low >= high:
        raise InputError(
            f"An axis cannot go from {low} to {high}: give a low end below the high one, or None."
        )
    if log and any(end is not None and end <= 0 for end in (low, high)):
        raise InputError(
            f"A logarithmic axis cannot go from {low} to {high}: give positive ends, or None."
        )


def _range(values: Iterable[np.ndarray], log: bool) -> tuple[float, float]:
    """The least and the greatest number; where there is none, something to draw an empty axis by."""
    found = [each[each >= _LEAST if log else ~np.isnan(each)] for each in values]
    known = np.concatenate([*found, np.empty(0)])
    return (
        (float(known.min()), float(known.max()))
        if len(known)
        else (1.0, 10.0)
        if log
        else (0.0, 1.0)
    )


def _apart(
    first: float, last: float, low: float | None, high: float | None, log: bool, whole: bool
) -> tuple[float, float]:
    """Two ends that differ: a free one gives way to a fixed one."""
    if last - first > _NOISE * max(abs(first), abs(last)):
        return first, last
    if log:
        return (min(first, last) / 2 if low is None else low), (
            max(first, last) * 2 if high is None else high
        )
    size = max(abs(first), abs(last))
    # of one whole number, no mark beside it
    pad = 0.5 if whole and size < 1e9 else size * 0.1 or 1.0
    return (min(first, last) - pad if low is None else low), (
        max(first, last) + pad if high is None else high
    )
