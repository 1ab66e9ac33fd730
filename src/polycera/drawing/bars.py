"""Bars to the right, a row for each name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polycera.drawing import rows
from polycera.drawing.axis import Axis, axis
from polycera.drawing.frame import Frame
from polycera.drawing.lettering import SMALL, lettered, width
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import Picture, nothing, picture
from polycera.drawing.series import several
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, isolated, tag
from polycera.errors import UnknownName, shorten


def bars(
    values: Mapping[str, float | None],
    *,
    title: str,
    x_label: str = "",
    low: float | None = None,
    high: float | None = None,
    errors: Mapping[str, float] | None = None,
    reference: float | None = None,
) -> Picture:
    """A bar for each name, from 0, with its number at the right.

    Args:
        values: name -> length; None where undefined.
        title: what is shown.
        x_label: of the axis, with the unit.
        low, high: ends of the axis.
        errors: name -> half the length of a line across the end of the bar.
        reference: where a dashed line is.

    Raises:
        InputError: where something is no number.
        UnknownName: where `errors` name a bar that there is not.

    Examples:
        >>> from polycera.drawing import bars
        >>> bars({"churn": 0.71, "revenue": None}, title="Skill").numbers
        [['name', 'value'], ['churn', '0.71'], ['revenue', '–']]
    """
    names, lengths = [*values], array([*values.values()], "The bars")
    halves = _halves(errors or {}, names)
    headings = ["name", x_label or "value", *(["±"] if errors else [])]
    numbers = table(headings, _cells(names, lengths, halves if errors else None))
    if np.isnan(lengths).all():
        return nothing(title, "no number is defined", numbers)
    x = _axis(lengths, halves, low, high, reference)
    shown = names[: rows.LIMIT]
    said = [
        _said(length, half) for length, half in zip(lengths[: rows.LIMIT], halves, strict=False)
    ]
    frame = rows.frame(shown, x, max(width(text, SMALL) for text in said) + 14)
    drawn = [_bar(frame, i, len(shown), shown[i], lengths[i], halves[i]) for i in range(len(shown))]
    ground = frame.ground(x_label, rows=False)
    body = [ground, frame.floor, frame.inside(*drawn, _zero(frame), _reference(frame, reference))]
    summary, notes = _summary(names, lengths, reference), rows.cut(len(names))
    return picture(
        title, summary, numbers, frame.below, *body, rows.written(frame, shown, said), notes=notes
    )


def _halves(errors: Mapping[str, float], names: list[str]) -> np.ndarray:
    for name in errors:
        if name not in names:
            raise UnknownName("bar", name, names)
    return np.abs(array([errors.get(name) for name in names], "The errors"))


def _axis(
    lengths: np.ndarray,
    halves: np.ndarray,
    low: float | None,
    high: float | None,
    line: float | None,
) -> Axis:
    more = np.nan_to_num(halves)
    marks = np.array([0.0, *([] if line is None else [line])])
    ends = (lengths - more, lengths + more, marks)
    bottom = low if low is not None else 0.0 if np.nanmin(np.concatenate(ends)) >= 0 else None
    return axis(ends, low=bottom, high=high)


def _bar(frame: Frame, row: int, count: int, name: str, length: float, half: float) -> Xml:
    y, thick = rows.middle(frame, row, count) - frame.top, rows.pitch(count) * 0.62
    if np.isnan(length):
        return Xml("")
    start, end = np.clip(frame.across(np.array([0.0, length])), -1, frame.width + 1).tolist()
    box = tag(
        "rect",
        x=min(start, end),
        y=y - thick / 2,
        width=abs(end - start),
        height=thick,
        rx=1.5,
        cls="pc-fill",
    )
    return lettered(
        f"{name}: {_said(length, half)}", box, _whisker(frame, y, length, half), cls=colour(0)
    )


def _whisker(frame: Frame, y: float, length: float, half: float) -> Xml:
    if np.isnan(half):
        return Xml("")
    a, b = np.clip(
        frame.across(np.array([length - half, length + half])), -99, frame.width + 99
    ).tolist()
    return tag("path", d=f"M{a:.1f} {y - 3:.1f}v6m0 -3H{b:.1f}m0 -3v6", cls="pc-whisker")


def _zero(frame: Frame) -> Xml:
    return tag("path", d=f"M{float(frame.across(0.0)):.1f} 0v{frame.height:.1f}", cls="pc-axis")


def _reference(frame: Frame, value: float | None) -> Xml:
    if value is None:
        return Xml("")
    line = tag("path", d=f"M{float(frame.across(value)):.1f} 0v{frame.height:.1f}", cls="pc-mark")
    return lettered(f"reference: {short(value)}", line)


def _said(length: float, half: float) -> str:
    return (
        short(float(length))
        if np.isnan(half)
        else f"{short(float(length))} ± {short(float(half), 2)}"
    )


def _cells(names: list[str], lengths: np.ndarray, halves: np.ndarray | None) -> list[list[object]]:
    rest = [[]] * len(names) if halves is None else [[float(h)] for h in halves]
    return [[name, float(v), *more] for name, v, more in zip(names, lengths, rest, strict=True)]


def _summary(names: list[str], lengths: np.ndarray, reference: float | None) -> str:
    low, high = int(np.nanargmin(lengths)), int(np.nanargmax(lengths))
    ends = [f"{short(float(lengths[i]))} ({isolated(shorten(names[i]))})" for i in (low, high)]
    line = "" if reference is None else f"; the reference is {short(reference)}"
    return f"{several(names, 'bar')}; from {ends[0]} to {ends[1]}{line}."
