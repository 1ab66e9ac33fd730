"""Whether what is predicted with 70 % comes true in 70 of 100."""

from __future__ import annotations

import numpy as np

from polycera.drawing.axis import axis
from polycera.drawing.frame import Frame, room_for
from polycera.drawing.lettering import label, lettered
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import Picture, nothing, picture
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, tag
from polycera.runs.results import Reliability

_SIDE, _STRIP = 300.0, 56.0


def reliability(found: Reliability, *, title: str) -> Picture:
    """Observed over predicted frequency, bin by bin, and below it how many rows each bin has.

    Args:
        found: the bins.
        title: what is shown.

    Examples:
        >>> from polycera.runs.results import Reliability
        >>> from polycera.drawing import reliability
        >>> reliability(Reliability([0.2, 0.8], [0.25, 0.7], [40, 60], 0.08), title="churn").summary
        '2 bins of 100 rows; expected calibration error 0.08; farthest apart: 0.8 predicted, 0.7 observed.'
    """
    parts = [array(part, "A bin") for part in (found.predicted, found.observed, found.rows)]
    numbers = table(
        ["predicted", "observed", "rows"], [[*map(float, row)] for row in zip(*parts, strict=True)]
    )
    x, y, rows = (part[~np.isnan(parts).any(axis=0)] for part in parts)
    if not len(rows):
        return nothing(title, "no bin has rows", numbers)
    unit = axis([], low=0.0, high=1.0)
    amount = axis([rows], low=0.0, whole=True, count=2)
    left = max(room_for(amount), 32.0)
    frame = Frame(unit, unit, left, 26.0, _SIDE, _SIDE)
    below = Frame(unit, amount, left, 26 + _SIDE + 36, _SIDE, _STRIP)
    shapes = [_ideal(), *_gaps(frame, x, y), _curve(frame, x, y), *_dots(frame, x, y, rows)]
    body = [
        frame.ground("", "observed frequency", columns=False),
        frame.floor,
        frame.inside(*shapes),
    ]
    body += [
        below.ground("predicted probability", "rows"),
        below.inside(*_counts(below, x, rows)),
        below.floor,
    ]
    said = enumerate(_aside(found, rows))
    aside = [label(left + _SIDE + 24, 32.0 + 18 * i, words, cls=cls) for i, (words, cls) in said]
    return picture(
        title, _summary(found, x, y, rows), numbers, below.below, *body, *aside, width=540
    )


def _ideal() -> Xml:
    return tag("path", d=f"M0 {_SIDE:.1f}L{_SIDE:.1f} 0", cls="pc-axis", stroke_dasharray="4 3")


def _gaps(frame: Frame, x: np.ndarray, y: np.ndarray) -> list[Xml]:
    places = zip(
        frame.across(x).tolist(), frame.down(y).tolist(), frame.down(x).tolist(), strict=True
    )
    return [
        tag("path", d=f"M{a:.1f} {b:.1f}V{c:.1f}", cls=f"pc-thin {colour(1)}") for a, b, c in places
    ]


def _curve(frame: Frame, x: np.ndarray, y: np.ndarray) -> Xml:
    pixels = zip(frame.across(x).tolist(), frame.down(y).tolist(), strict=True)
    return tag(
        "path", d="M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in pixels), cls=f"pc-line {colour(0)}"
    )


def _dots(frame: Frame, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> list[Xml]:
    """Larger where there are more rows."""
    size = 3 + 4 * np.sqrt(rows / max(float(rows.max()), 1.0))
    said = [_said(*map(float, row)) for row in zip(x, y, rows, strict=True)]
    places = zip(frame.across(x).tolist(), frame.down(y).tolist(), size.tolist(), said, strict=True)
    return [
        lettered(s, tag("circle", cx=a, cy=b, r=r, cls="pc-dot"), cls=colour(0))
        for a, b, r, s in places
    ]


def _said(predicted: float, observed: float, rows: float) -> str:
    return f"{short(predicted)} predicted, {short(observed)} observed, {short(rows)} rows"


def _counts(frame: Frame, x: np.ndarray, rows: np.ndarray) -> list[Xml]:
    thick = min(14.0, _SIDE / (len(rows) + 1))
    places = zip((frame.across(x) - thick / 2).tolist(), frame.down(rows).tolist(), strict=True)
    bars = [{"x": a, "y": b, "width": thick, "height": frame.height - b} for a, b in places]
    return [tag("rect", cls="pc-fill-faint", **bar) for bar in bars]


def _aside(found: Reliability, rows: np.ndarray) -> list[tuple[str, str]]:
    error = ("calibration error", "pc-mute"), (short(found.ece, 3), "pc-strong")
    return [*error, ("rows", "pc-mute"), (short(float(rows.sum())), "pc-strong")]


def _summary(found: Reliability, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> str:
    far = int(np.argmax(np.abs(x - y)))
    count = f"{len(rows)} bin{'s' if len(rows) != 1 else ''} of {short(float(rows.sum()))} rows"
    ends = f"{short(float(x[far]))} predicted, {short(float(y[far]))} observed"
    return f"{count}; expected calibration error {short(found.ece)}; farthest apart: {ends}."
