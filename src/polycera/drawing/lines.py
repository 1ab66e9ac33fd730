"""Curves: of losses, of skills, of weights over the epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from polycera.drawing import ends, thinning
from polycera.drawing import marks as marking
from polycera.drawing.axis import Axis, axis
from polycera.drawing.ends import End
from polycera.drawing.frame import Frame, room_for
from polycera.drawing.lettering import label, lettered
from polycera.drawing.numerals import short
from polycera.drawing.picture import WIDTH, Picture, nothing, picture
from polycera.drawing.series import Values, checked, several, whole
from polycera.drawing.style import colour, dash
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, isolated, tag
from polycera.errors import UnknownName, shorten

NAMED = 12
"""More lines than these are grey and have no name."""
_HEIGHT, _ALL = 240.0, 12_000  # pixels; vertices of all lines together


def lines(
    series: Mapping[str, Values],
    *,
    title: str,
    x: Values | None = None,
    x_label: str = "",
    y_label: str = "",
    marks: Mapping[str, float] = {},
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    dashed: Collection[str] = (),
) -> Picture:
    """Lines over one horizontal axis, each with its name at its end.

    A line is drawn through 240 points at most: of each stretch its lowest and its highest. Lines after the twelfth are
    grey and only counted.

    Args:
        series: name -> numbers [n]; None, NaN and infinities are gaps.
        title: what is shown.
        x: where the numbers are, [n]; None: 1, 2, ...
        x_label, y_label: of the axes, with units.
        marks: text -> place of a vertical line.
        low, high: ends of the vertical axis; what is beyond is cut off.
        log: a logarithmic vertical axis; numbers that are not positive are gaps.
        dashed: names of the lines to be dashed.

    Raises:
        InputError: where something is no number, or places and numbers are not as many.
        UnknownName: where a line to be dashed is not there.

    Examples:
        >>> from polycera.drawing import lines
        >>> lines({"churn": [0.4, None, 0.7]}, title="Skill", x_label="epoch").numbers
        [['epoch', 'churn'], ['1', '0.4'], ['2', '–'], ['3', '0.7']]
    """
    found, places = checked(series, x)
    _known(dashed, found)
    if log:
        found = {name: np.where(values > 0, values, np.nan) for name, values in found.items()}
    numbers = _numbers(found, places, x_label)
    if not any((~np.isnan(values)).any() for values in found.values()):
        return nothing(title, "no number is defined", numbers)
    held = marking.drawable(marks)
    y = axis(found.values(), low=low, high=high, log=log)
    frame, spots = _frame(found, _across(places, held), y, held, bool(y_label))
    drawn = [
        _line(frame, i, found[name], places, name, len(found), name in dashed)
        for i, name in enumerate(found)
    ]
    ground = [frame.ground(x_label), _above(y_label), frame.floor, frame.inside(*reversed(drawn))]
    body = [*ground, marking.drawn(frame, spots), _names(frame, found, places)]
    return picture(title, _summary(found), numbers, frame.below, *body, notes=_notes(found))


def _known(dashed: Collection[str], found: Mapping[str, np.ndarray]) -> None:
    for name in dashed:
        if name not in found:
            raise UnknownName("line", name, found)


def _across(places: np.ndarray, marks: Mapping[str, float]) -> Axis:
    return axis(
        [places, np.array([*marks.values()], "float64")], tight=True, whole=whole(places), count=8
    )


def _frame(
    found: Mapping[str, np.ndarray], x: Axis, y: Axis, marks: Mapping[str, float], named: bool
) -> tuple[Frame, list[marking.Spot]]:
    """The rectangle, below the label of the vertical axis and the words of the marks."""
    left, right = max(room_for(y), 28.0), ends.room([*found][:NAMED])
    spots = marking.spots(marks, x, WIDTH - left - right)
    return Frame(
        x, y, left, 10 + 16 * named + marking.height(spots), WIDTH - left - right, _HEIGHT
    ), spots


def _above(y_label: str) -> Xml:
    return label(0.0, 12.0, y_label, room=float(WIDTH), cls="pc-mute") if y_label else Xml("")


def _line(
    frame: Frame,
    place: int,
    values: np.ndarray,
    places: np.ndarray,
    name: str,
    count: int,
    dashed: bool,
) -> Xml:
    limit = max(24, min(thinning.VERTICES, _ALL // count))
    across, down = frame.across(places), frame.down(values)
    runs = thinning.runs(values, thinning.kept(values, limit))
    path = "".join(_path(across[run], down[run]) for run in runs if len(run) > 1)
    single = [int(run[0]) for run in runs if len(run) == 1]
    dots = [
        tag("circle", cx=float(across[i]), cy=float(down[i]), r=3, cls="pc-fill") for i in single
    ]
    if place >= NAMED:
        return lettered(
            name, *([tag("path", d=path, cls="pc-faint")] if path else []), *dots, cls="pc-neutral"
        )
    curve = (
        [tag("path", d=path, cls="pc-line", stroke_dasharray=dash(place, dashed))] if path else []
    )
    return lettered(name, *curve, *dots, cls=colour(place))


def _path(x: np.ndarray, y: np.ndarray) -> str:
    pixels = np.clip(np.stack([x, y], axis=1), -9999, 9999)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in pixels.tolist())


def _names(frame: Frame, found: Mapping[str, np.ndarray], places: np.ndarray) -> Xml:
    at = [
        _end(frame, i, name, values, places)
        for i, (name, values) in enumerate([*found.items()][:NAMED])
    ]
    return ends.names(
        [end for end in at if end],
        frame.left + frame.width,
        frame.top + 2,
        frame.top + frame.height,
    )


def _end(frame: Frame, place: int, name: str, values: np.ndarray, places: np.ndarray) -> End | None:
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return None
    y = float(np.clip(frame.down(values[known[-1]]), 0, frame.height))
    return End(
        name, colour(place), frame.left + float(frame.across(places[known[-1]])), frame.top + y
    )


def _notes(found: Mapping[str, np.ndarray]) -> list[str]:
    more = len(found) - NAMED
    grey = (
        [f"{more} more lines are grey; their names and numbers are in the table."]
        if more > 0
        else []
    )
    empty = [name for name, values in found.items() if np.isnan(values).all()]
    return [*grey, *([f"Without a number: {several(empty, 'line')}."] if empty else [])]


def _numbers(found: Mapping[str, np.ndarray], places: np.ndarray, x_label: str) -> list[list[str]]:
    if len(found) <= NAMED:
        rows = [
            [float(p), *map(float, row)]
            for p, row in zip(places, np.array([*found.values()]).T, strict=False)
        ]
        return table([x_label or "place", *found], rows)
    return table(
        ["line", "first", "last", "lowest", "highest"],
        [[name, *_four(v)] for name, v in found.items()],
    )


def _four(values: np.ndarray) -> list[float | None]:
    known = values[~np.isnan(values)]
    return (
        [float(v) for v in (known[0], known[-1], known.min(), known.max())]
        if len(known)
        else [None] * 4
    )


def _summary(found: Mapping[str, np.ndarray]) -> str:
    said = [
        f"{isolated(shorten(name))} {_course(*_four(values))}"
        for name, values in [*found.items()][:3]
    ]
    return f"{several([*found], 'line')}; {'; '.join(said)}."


def _course(first: float | None, last: float | None, low: float | None, high: float | None) -> str:
    if first is None:
        return "has no number"
    return f"goes from {short(first)} to {short(last)}, lowest {short(low)}, highest {short(high)}"
