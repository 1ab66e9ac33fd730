"""Names at the ends of lines, where they need no legend: pushed apart where they would touch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from polycera.drawing.lettering import SIZE, label, width
from polycera.drawing.xml import Xml, plain, tag, together

_PITCH = 15.0
WIDEST = 150.0
"""Pixels that a name takes at most."""


class End(NamedTuple):
    """The end of a line: its name, the class that its colour is, and where it ends in pixels."""

    name: str
    cls: str
    x: float
    y: float


def room(names: Sequence[str]) -> float:
    """Pixels that names at the right side take, with the lines that lead to them."""
    return min(max((width(plain(name), SIZE) for name in names), default=0.0), WIDEST) + 24


def spread(wanted: Sequence[float], low: float, high: float, pitch: float = _PITCH) -> list[float]:
    """Places near the wanted ones, in their order, `pitch` apart and within `low` and `high` where that can be."""
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    places, last = [0.0] * len(wanted), low - pitch
    for i in order:
        last = places[i] = max(wanted[i], last + pitch)
    limit = high
    for i in reversed(order):
        places[i] = min(places[i], limit)
        limit = places[i] - pitch
    return places


def names(ends: Sequence[End], right: float, low: float, high: float) -> Xml:
    """The names, each with a thin line from where its line ends.

    Args:
        ends: of the lines.
        right: pixel at which the rectangle of the picture ends.
        low, high: pixels between which the names stay.
    """
    places = spread([end.y for end in ends], low, high)
    return together(*(_named(end, right, y) for end, y in zip(ends, places, strict=True)))


def _named(end: End, right: float, y: float) -> Xml:
    """The lead is dotted where the line ends long before: it is no part of it."""
    start = max(right, end.x) + 4
    early = "1 4" if end.x < right - 4 else None
    far = tag(
        "path", d=f"M{end.x + 5:.1f} {end.y:.1f}H{start:.1f}", cls="pc-thin", stroke_dasharray=early
    )
    lead = tag(
        "path",
        d=f"M{start:.1f} {end.y:.1f}L{right + 15:.1f} {y:.1f}h3",
        cls="pc-thin",
        stroke_opacity=0.5,
    )
    words = label(right + 21, y + 4, end.name, room=WIDEST, cls="pc-name pc-strong")
    return tag("g", *([far] if early else []), lead, words, cls=end.cls)
