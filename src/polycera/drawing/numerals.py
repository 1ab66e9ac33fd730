"""Numbers as people read them: short, and never another number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from polycera.errors import InputError, shorten

GAP = "–"
"""Where there is no number."""
HUGE = 1e290
"""What is farther from 0 cannot be placed on an axis; sums and differences of the others do not overflow."""

PLAIN = (-4, 9)
"""Numbers from 10^-4 on and below 10^9 are written without an exponent."""

_MINUS, _THIN = "\u2212", "\u202f"  # a narrow space at which no line is broken


def short(value: float | None, digits: int = 4) -> str:
    """A number to so many digits, the whole part of one below 10^9 in full.

    Examples:
        >>> [short(v) for v in (0.123456, 1e-7, 360, None)]
        ['0.1235', '1e-7', '360', '–']
    """
    if value is None or math.isnan(value):
        return GAP
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    size = abs(value)
    if 10.0**digits <= size < 1e9:
        return exact(Decimal(round(value)))
    return exact(Decimal(f"{value:.{digits}g}"))


def exact(number: Decimal, *, scientific: bool | None = None, decimals: int = 0) -> str:
    """All digits of a number.

    Args:
        number: finite.
        scientific: as 1.5e-7; None: where it is very small or large. Else with thin spaces between thousands.
        decimals: at least so many where it is not scientific.
    """
    sign = _MINUS if number < 0 else ""
    number = abs(number).normalize()
    size = number.adjusted()
    if not PLAIN[0] <= size < PLAIN[1] if scientific is None else scientific:
        return f"{sign}{number.scaleb(-size).normalize():f}e{size}" if number else "0"
    whole, _, part = f"{number:f}".partition(".")
    part = part.ljust(decimals, "0")
    return sign + f"{int(whole):,}".replace(",", _THIN) + (f".{part}" if part else "")


def fixed(value: float, decimals: int = 2) -> str:
    """A number with so many decimals, as in the cells of a table."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "" if float(text) == 0 else _MINUS)


def array(values: Sequence[float | None] | np.ndarray, what: str) -> np.ndarray:
    """Numbers as an array; None and what cannot be placed are NaN.

    Args:
        values: [n], None where undefined.
        what: they are, for the message.

    Raises:
        InputError: where something is no number.
    """
    try:
        found = np.array(values, "float64")
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{shorten(what)} holds what is no number: give numbers, and None for gaps."
        ) from None
    if found.ndim != 1:
        raise InputError(
            f"{shorten(what)} is no list of numbers, it has {found.ndim} dimensions: give one."
        )
    return np.where(np.abs(found) <= HUGE, found, np.nan)
