"""Where an axis has its marks: at 1, 2 or 5 times a power of ten, with labels that are exactly those numbers."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from polycera.drawing.numerals import PLAIN, exact


class Tick(NamedTuple):
    """A mark of an axis: its place, and how that is written."""

    value: float
    label: str


def linear(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[Tick]:
    """Marks at equal distances, the first not above `low` and the last not below `high`.

    Args:
        low, high: finite, with low < high.
        count: about how many distances there should be.
        whole: only whole numbers.

    Examples:
        >>> [tick.label for tick in linear(0.13, 0.87)]
        ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """
    start, end = (
        Decimal(repr(float(low))),
        Decimal(repr(float(high))),
    )  # 0.3 is meant, and not what a float makes of it
    step = _step((end - start) / count)
    if whole:
        step = max(step, Decimal(1))
    first = (start / step).to_integral_value(ROUND_FLOOR)
    last = (end / step).to_integral_value(ROUND_CEILING)
    return _written([(first + i) * step for i in range(int(last - first) + 1)], step)


def logarithmic(low: float, high: float, count: int = 6) -> list[Tick]:
    """Marks at powers of ten, or at 1, 2 and 5 times those where there are few; they contain the range.

    Args:
        low, high: positive and finite, with low < high.
        count: about how many there should be at most.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / count))
    if last - first > 2:
        return _written([Decimal(1).scaleb(e) for e in range(first, last + stride, stride)])
    steps = [Decimal(m).scaleb(e) for e in range(first, last + 1) for m in (1, 2, 5)]
    start, end = Decimal(repr(float(low))), Decimal(repr(float(high)))
    below = max(s for s in steps if s <= start)
    above = min(s for s in [*steps, Decimal(10).scaleb(last)] if s >= end)
    return _written([s for s in steps if below <= s <= above])


def _step(distance: Decimal) -> Decimal:
    """The first of 1, 2, 5 and 10 times a power of ten that is not less than nearly the distance."""
    unit = Decimal(1).scaleb(distance.adjusted())
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= distance * Decimal("0.9"))


def _written(numbers: list[Decimal], step: Decimal | None = None) -> list[Tick]:
    """All in one notation: 0.0, 0.5, 1.0 and 0, 5e8, 1e9; steps of ratios keep their own decimals."""
    size = max(abs(number) for number in numbers).adjusted()
    scientific = not PLAIN[0] <= size < PLAIN[1] if step is not None else None
    decimals = 0 if step is None or scientific else len(f"{step.normalize():f}".partition(".")[2])
    return [
        Tick(float(number), exact(number, scientific=scientific, decimals=decimals))
        for number in numbers
    ]
