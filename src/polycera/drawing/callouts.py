"""Names beside points, where they find room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.drawing.frame import Frame
from polycera.drawing.lettering import SMALL, fit, label, width
from polycera.drawing.picture import WIDTH
from polycera.drawing.xml import Xml, together

NAMED = 16
"""Of more points only the chosen one has its name beside it."""
_WIDEST, _OFF = 140.0, 11.0

Rectangle = tuple[float, float, float, float]


def callouts(
    frame: Frame,
    x: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    shown: Sequence[int],
    chosen: int | None,
    route: Sequence[int],
) -> Xml:
    """The names: the chosen one first, then each that touches no other name, no other point and no line.

    Args:
        frame: the rectangle.
        x, y: numbers of the points, [n].
        names: of them, [n].
        shown: places of those that are drawn.
        chosen: the place of the chosen one.
        route: places of those that a line leads through.
    """
    across, down = frame.left + frame.across(x), frame.top + frame.down(y)
    order = (
        sorted(shown, key=lambda i: i != chosen)
        if len(shown) <= NAMED
        else [i for i in shown if i == chosen]
    )
    taken = (
        [_around(float(across[i]), float(down[i]), 4.0) for i in shown]
        if len(shown) <= NAMED
        else []
    )
    taken += _along(across[[*route]], down[[*route]]) if len(shown) <= NAMED else []
    return together(*(_callout(float(across[i]), float(down[i]), names[i], taken) for i in order))


def _callout(x: float, y: float, name: str, taken: list[Rectangle]) -> Xml:
    wide = width(fit(name, _WIDEST, SMALL), SMALL)
    starts = [(x + _OFF, y), (x - _OFF - wide, y), (x - wide / 2, y - 16), (x - wide / 2, y + 16)]
    for left, middle in starts:
        box = (left, middle - 7, left + wide, middle + 7)
        if left > 0 and box[2] < WIDTH and not any(_touch(box, other) for other in taken):
            taken.append(box)
            return label(left, middle + 4, name, room=_WIDEST, cls="pc-halo", small=True)
    return Xml("")


def _around(x: float, y: float, half: float) -> Rectangle:
    return (x - half, y - half, x + half, y + half)


def _along(x: np.ndarray, y: np.ndarray) -> list[Rectangle]:
    """A line as small squares."""
    if len(x) < 2:
        return []
    steps = np.linspace(0, len(x) - 1, 40 * (len(x) - 1))
    at = np.arange(len(x))
    pixels = zip(np.interp(steps, at, x).tolist(), np.interp(steps, at, y).tolist(), strict=True)
    return [_around(a, b, 1.0) for a, b in pixels]


def _touch(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
