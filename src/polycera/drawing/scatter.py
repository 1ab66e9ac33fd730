"""Points with two numbers each: epochs by two skills, rows by true and predicted value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.drawing.axis import axis
from polycera.drawing.callouts import callouts
from polycera.drawing.frame import Frame, room_for
from polycera.drawing.lettering import lettered
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import WIDTH, Picture, nothing, picture
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, isolated, plain, tag
from polycera.errors import InputError, shorten

LIMIT = 1000
"""More points are not drawn."""
_CURVE = 40  # points of a line: with more it is a curve, and its points are small
Points = Sequence[tuple[float | None, float | None]]


def scatter(
    points: Points,
    *,
    title: str,
    x_label: str,
    y_label: str,
    names: Sequence[str] = (),
    chosen: int | None = None,
    line: bool = False,
    diagonal: bool = False,
    connect: Sequence[int] = (),
) -> Picture:
    """Points, each with its name in a tooltip; up to 16 names are written beside them where there is room.

    Args:
        points: (across, up), None where undefined; [n].
        title: what is shown.
        x_label, y_label: of the axes, with units.
        names: of the points, [n], or none.
        chosen: the place of a point with a ring.
        line: whether a line leads from each point to the next.
        diagonal: both axes alike, with a line where the two numbers are equal.
        connect: places of points that a line leads through, as a front.

    Raises:
        InputError: where something is no number, names are not as many, or a place is none of a point.

    Examples:
        >>> from polycera.drawing import scatter
        >>> scatter(
        ...     [(0.1, 0.9), (0.5, 0.6)], title="Epochs", x_label="churn", y_label="revenue"
        ... ).summary
        '2 points: churn from 0.1 to 0.5, revenue from 0.6 to 0.9.'
    """
    x, y = _checked(points, names, chosen, connect)
    both = ~np.isnan(x) & ~np.isnan(y)
    called = [str(name) for name in names] or [str(i + 1) for i in range(len(points))]
    numbers = table(
        ["point", x_label, y_label],
        [[n, float(a), float(b)] for n, a, b in zip(called, x, y, strict=True)],
    )
    if not both.any():
        return nothing(title, "no point has both numbers", numbers)
    frame, route = _frame(x[both], y[both], diagonal), _route(both, line, connect)
    drawn = [_diagonal(frame) if diagonal else Xml(""), _through(frame, x, y, route)]
    front = frozenset(connect)
    shown = _shown(both, [*connect, *([] if chosen is None else [chosen])])
    small = line and len(shown) > _CURVE
    drawn += [
        _dot(frame, i, x[i], y[i], called[i], i in front, small)
        for i in sorted(shown, key=front.__contains__)
    ]
    drawn += [_ring(frame, x[chosen], y[chosen])] if chosen is not None and both[chosen] else []
    body = [frame.ground(x_label, y_label), frame.floor, frame.inside(*drawn)]
    body += [callouts(frame, x, y, called, shown, chosen, route)] if names else []
    left = int(both.sum()) - len(shown)
    notes = [f"{left} more points are not drawn."] if left else []
    ring = "" if chosen is None else _chosen(x, y, called[chosen], chosen)
    return picture(
        title,
        _summary(x, y, both, (x_label, y_label), ring),
        numbers,
        frame.below,
        *body,
        notes=notes,
    )


def _checked(
    points: Points, names: Sequence[str], chosen: int | None, connect: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    if names and len(names) != len(points):
        raise InputError(
            f"There are {len(names)} names for {len(points)} points: give one for each, or none."
        )
    wrong = [
        i for i in [*connect, *([] if chosen is None else [chosen])] if not 0 <= i < len(points)
    ]
    if wrong:
        raise InputError(f"There is no point {wrong[0]}: there are {len(points)}, counted from 0.")
    return array([a for a, _ in points], "The horizontal axis"), array(
        [b for _, b in points], "The vertical axis"
    )


def _frame(x: np.ndarray, y: np.ndarray, diagonal: bool) -> Frame:
    if diagonal:
        across = axis([x, y])
        left = max(room_for(across), 28.0)
        return Frame(across, across, left, 26.0, 320.0, 320.0)
    up = axis([y])
    left = max(room_for(up), 28.0)
    return Frame(axis([x], count=7), up, left, 26.0, WIDTH - left - 30, 280.0)


def _route(both: np.ndarray, line: bool, connect: Sequence[int]) -> list[int]:
    route = list(range(len(both))) if line else list(connect)
    return [i for i in route if both[i]]


def _shown(both: np.ndarray, always: Sequence[int]) -> list[int]:
    known = np.flatnonzero(both)
    if len(known) > LIMIT:
        known = known[np.linspace(0, len(known) - 1, LIMIT).astype(int)]
    return sorted({*known.tolist(), *(i for i in always if both[i])})


def _through(frame: Frame, x: np.ndarray, y: np.ndarray, route: Sequence[int]) -> Xml:
    places = list(route)
    pixels = zip(frame.across(x[places]).tolist(), frame.down(y[places]).tolist(), strict=True)
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in pixels)
    return tag("path", d=f"M{path}", cls=f"pc-thin {colour(1)}") if len(places) > 1 else Xml("")


def _diagonal(frame: Frame) -> Xml:
    return tag(
        "path",
        d=f"M0 {frame.height:.1f}L{frame.width:.1f} 0",
        cls="pc-axis",
        stroke_dasharray="4 3",
    )


def _dot(frame: Frame, i: int, x: float, y: float, name: str, front: bool, small: bool) -> Xml:
    words = f"{name}: {short(float(x))}, {short(float(y))}"
    radius = 2.0 if small else 4.5 if front else 3.5
    shape = tag(
        "circle", cx=float(frame.across(x)), cy=float(frame.down(y)), r=radius, cls="pc-dot"
    )
    return lettered(words, shape, cls=colour(1 if front else 0), data_i=i)


def _ring(frame: Frame, x: float, y: float) -> Xml:
    return tag("circle", cx=float(frame.across(x)), cy=float(frame.down(y)), r=8, cls="pc-chosen")


def _summary(
    x: np.ndarray, y: np.ndarray, both: np.ndarray, labels: tuple[str, str], chosen: str
) -> str:
    ends = []
    for what, values in zip(labels, (x[both], y[both]), strict=True):
        ends.append(
            f"{plain(what)} from {short(float(values.min()))} to {short(float(values.max()))}"
        )
    return f"{int(both.sum())} point{'s' if both.sum() != 1 else ''}: {', '.join(ends)}{chosen}."


def _chosen(x: np.ndarray, y: np.ndarray, name: str, chosen: int) -> str:
    return f"; {isolated(shorten(name))} is chosen, at {short(float(x[chosen]))} and {short(float(y[chosen]))}"
