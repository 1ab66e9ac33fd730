"""Write numbers for people, and read a file's values as numbers or None."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

NONE = "–"
"""Stands for a number that is not defined."""


def real(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    ok = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    try:
        return float(value) if ok and math.isfinite(value) else None
    except OverflowError:  # an integer beyond float64
        return None


def reals(values: Iterable[Any]) -> list[float | None]:
    """Return `real` of each value."""
    return [real(value) for value in values]


def say(value: Any, digits: int = 4) -> str:
    """Return a number with so many digits, and thin spaces between thousands; a dash for None.

    Examples:
        >>> say(0.123456), say(1234567.0), say(None)
        ('0.1235', '1\u202f235\u202f000', '–')
    """
    number = real(value)
    if number is None:
        return NONE
    found = f"{number:.{digits}g}"
    if 1 <= abs(number) < 1e9 and ("e" in found or abs(number) >= 1000):
        found = f"{float(found):,.15g}".replace(",", "\u202f")
    return found.replace("-", "−")


def fixed(value: Any, places: int = 3) -> str:
    """Return a number with so many decimal places, as for a skill, a share, a cosine."""
    number = real(value)
    if number is None:
        return NONE
    found = f"{number:.{places}f}"
    return found.removeprefix("-") if float(found) == 0 else found.replace("-", "−")


def count(value: Any) -> str:
    """Return a whole number with thin spaces between thousands."""
    number = real(value)
    return NONE if number is None else f"{number:,.0f}".replace(",", "\u202f").replace("-", "−")


def percent(part: Any, whole: Any) -> str:
    """Return a part of a whole in per cent; a dash where the whole is 0 or not defined."""
    a, b = real(part), real(whole)
    return NONE if a is None or not b else f"{100 * a / b:.3g}\u202f%"


def seconds(value: Any) -> str:
    """Return a time in the unit that suits it."""
    number = real(value)
    if number is None:
        return NONE
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if number >= 2 * size:
            return f"{number / size:.3g}\u202f{unit}"
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if number >= size:
            return f"{number / size:.3g}\u202f{unit}"
    return f"{number:.2g}\u202fs"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 task`, `3 tasks`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def mean(values: Iterable[Any]) -> float | None:
    """Return the mean of the defined values; None without any."""
    known = [number for number in reals(values) if number is not None]
    return math.fsum(known) / len(known) if known else None
