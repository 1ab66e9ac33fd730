"""Bring what a chart is given into what JSON can hold, and say it in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from polycera.errors import InputError, shorten

Record = dict[str, Any]
"""One row of a chart's data: fixed field names, plain values."""

MOST_POINTS = 2000
"""A chart with more points is slow in a browser and shows no more to the eye."""

CROWD = 40
"""Rows of names that one looks through at once; of more the ends are shown, and a search box."""

LEGEND = 12
"""Most names in a legend."""


def number(value: Any) -> float | None:
    """Return a finite number; None for a missing, NaN or infinite one.

    Raises:
        InputError: for what is no number.
    """
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"A chart was given {shorten(value)!r} in place of a number: give numbers, and None "
            "where one is not known."
        ) from None
    return found if math.isfinite(found) else None


def numbers(values: Iterable[Any]) -> list[float | None]:
    """Return finite numbers, and None in place of others."""
    return [number(value) for value in values]


def as_lists(**columns: Iterable[Any]) -> list[list[Any]]:
    """Return columns as lists of one length.

    Raises:
        InputError: where they differ in length.
    """
    lists = {name: list(column) for name, column in columns.items()}
    if len({len(column) for column in lists.values()}) > 1:
        lengths = ", ".join(f"{len(column)} {name}" for name, column in lists.items())
        raise InputError(f"A chart was given {lengths}: give as many of each.")
    return list(lists.values())


def known(values: Iterable[float | None]) -> list[float]:
    """Return the values that are known."""
    return [value for value in values if value is not None]


def say(value: float | None, digits: int = 3) -> str:
    """Return a number as a person reads it."""
    if value is None:
        return "unknown"
    if value and 1e-4 <= abs(value) < 1e6:
        rounded = float(f"{value:.{digits}g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"
    return f"{value:.{digits}g}"


def plural(count: int, word: str) -> str:
    """Return `1 task`, `2 tasks`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def name_list(names: Sequence[str], most: int = 5) -> str:
    """Return the first names in a sentence."""
    shown = ", ".join(shorten(name, 60) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def lines_of(text: str, width: int = 42) -> list[str]:
    """Return a title in lines that fit a telephone."""
    return textwrap.wrap(text, width) or [""]


def places_to_keep(count: int, most: int, also: Iterable[int] = ()) -> list[int]:
    """Return places spread evenly over `count`, first and last among them.

    Args:
        count: how many there are.
        most: how many may stay, besides those in `also`.
        also: places that must stay.
    """
    if count <= most:
        return list(range(count))
    spread = np.linspace(0, count - 1, max(most, 2)).round().astype(int)
    return sorted({*spread.tolist(), *(place for place in also if 0 <= place < count)})


def ends(values: Mapping[str, float | None], most: int) -> set[str]:
    """Return the names with the highest and the lowest values, `most` in all."""
    order = sorted(values, key=lambda name: -math.inf if (v := values[name]) is None else v)
    half = most // 2
    return set(order) if len(order) <= most else {*order[:half], *order[-half:]}
