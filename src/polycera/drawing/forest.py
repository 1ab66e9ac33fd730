"""Differences with their intervals, a row for each name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.drawing import rows
from polycera.drawing.axis import axis
from polycera.drawing.frame import Frame
from polycera.drawing.lettering import SMALL, lettered, width
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import Picture, nothing, picture
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, tag
from polycera.errors import InputError

Row = tuple[float, float, float]


def forest(
    names: Sequence[str],
    means: Sequence[float | None],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    *,
    title: str,
    x_label: str,
    zero: float = 0.0,
) -> Picture:
    """A point with an interval for each name; hollow and grey where the interval holds `zero`.

    Args:
        names: of the rows.
        means, lows, highs: of each row; None where undefined.
        title: what is shown.
        x_label: of the axis, with the unit.
        zero: what there is no difference at.

    Raises:
        InputError: where these are not as many, or something is no number.

    Examples:
        >>> from polycera.drawing import forest
        >>> forest(["churn"], [0.02], [0.01], [0.03], title="Gain", x_label="AUC").summary
        '1 row: 1 above 0, 0 below, 0 with it in the interval.'
    """
    parts = [
        array(part, f"The {word}")
        for part, word in ((means, "means"), (lows, "lows"), (highs, "highs"))
    ]
    if {len(part) for part in parts} != {len(names)}:
        counts = ", ".join(str(len(part)) for part in parts)
        raise InputError(
            f"There are {len(names)} names and {counts} means, lows and highs: give as many of each."
        )
    found = [(float(m), float(a), float(b)) for m, a, b in zip(*parts, strict=True)]
    numbers = table(
        ["name", x_label, "low", "high"],
        [[name, *row] for name, row in zip(names, found, strict=True)],
    )
    if all(np.isnan(row[0]) for row in found):
        return nothing(title, "no difference is defined", numbers)
    shown, said = list(names[: rows.LIMIT]), [_said(row) for row in found[: rows.LIMIT]]
    frame = rows.frame(
        shown, axis([*parts, np.array([zero])]), max(width(text, SMALL) for text in said) + 14
    )
    drawn = [_row(frame, i, len(shown), shown[i], found[i], zero) for i in range(len(shown))]
    line = tag("path", d=f"M{float(frame.across(zero)):.1f} 0v{frame.height:.1f}", cls="pc-mark")
    body = [
        frame.ground(x_label, rows=False),
        frame.floor,
        frame.inside(line, *drawn),
        rows.written(frame, shown, said),
    ]
    return picture(
        title, _summary(found, zero), numbers, frame.below, *body, notes=rows.cut(len(names))
    )


def _row(frame: Frame, place: int, count: int, name: str, row: Row, zero: float) -> Xml:
    mean, low, high = row
    if np.isnan(mean):
        return Xml("")
    y, (x, a, b) = (
        rows.middle(frame, place, count) - frame.top,
        frame.across(np.array(row)).tolist(),
    )
    bar = (
        []
        if np.isnan(low) or np.isnan(high)
        else [tag("path", d=f"M{a:.1f} {y:.1f}H{b:.1f}", cls="pc-line")]
    )
    sure = low > zero or high < zero
    dot = tag("circle", cx=x, cy=y, r=4.5, cls="pc-fill" if sure else "pc-hollow")
    cls = (colour(0) if low > zero else colour(1)) if sure else "pc-neutral"
    return lettered(f"{name}: {_said(row)}", *bar, dot, cls=cls)


def _said(row: Row) -> str:
    mean, low, high = map(short, row)
    return mean if np.isnan(row[1]) and np.isnan(row[2]) else f"{mean} [{low}, {high}]"


def _summary(found: Sequence[Row], zero: float) -> str:
    above, below = sum(low > zero for _, low, _ in found), sum(high < zero for _, _, high in found)
    known = sum(not np.isnan(mean) for mean, _, _ in found)
    rest = known - above - below
    count = f"{len(found)} row{'s' if len(found) != 1 else ''}"
    return f"{count}: {above} above {short(zero)}, {below} below, {rest} with it in the interval."
