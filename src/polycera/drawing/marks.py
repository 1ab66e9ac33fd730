"""Vertical lines with words, for what happened at one place: above one another where the words would touch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from polycera.drawing.axis import Axis
from polycera.drawing.frame import Frame
from polycera.drawing.lettering import SMALL, fit, label, width
from polycera.drawing.xml import Xml, tag, together

LANE = 14
"""Pixels from one line of words to the next."""
_WIDEST, _LANES = 220.0, 4

Spot = tuple[str, float, float, int]


def drawable(marks: Mapping[str, float]) -> dict[str, float]:
    """The marks that have a place."""
    return {
        text: float(value)
        for text, value in marks.items()
        if value is not None and math.isfinite(value)
    }


def spots(marks: Mapping[str, float], x: Axis, wide: float) -> list[Spot]:
    """Where the words go: what is said, pixel of the line, of the middle of the words, and their lane.

    Args:
        marks: text -> place.
        x: the horizontal axis.
        wide: pixels of it.
    """
    found: list[Spot] = []
    for text, value in sorted(marks.items(), key=lambda mark: (mark[1], mark[0])):
        at, half = float(x.at(value)) * wide, width(fit(text, _WIDEST, SMALL), SMALL) / 2
        middle = min(max(at, half), max(wide - half, half))
        taken = [
            lane for said, _, other, lane in found if abs(middle - other) < half + _half(said) + 8
        ]
        found.append(
            (text, at, middle, next(i for i in range(len(found) + 1) if i not in taken) % _LANES)
        )
    return found


def _half(text: str) -> float:
    return width(fit(text, _WIDEST, SMALL), SMALL) / 2


def height(found: list[Spot]) -> float:
    """Pixels that the words take."""
    return LANE * max((lane + 1 for *_, lane in found), default=0)


def drawn(frame: Frame, found: list[Spot]) -> Xml:
    """Lines and words."""
    return together(*(_mark(frame, *spot) for spot in found))


def _mark(frame: Frame, text: str, at: float, middle: float, lane: int) -> Xml:
    x, y = frame.left + at, frame.top - 7 - LANE * lane
    line = tag("path", d=f"M{x:.1f} {y + 3:.1f}V{frame.top + frame.height:.1f}", cls="pc-mark")
    words = label(
        frame.left + middle, y, text, room=_WIDEST, cls="pc-halo", anchor="middle", small=True
    )
    return together(line, words)
