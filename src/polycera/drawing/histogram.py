"""How many there are of what size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.drawing.axis import axis
from polycera.drawing.frame import Frame, room_for
from polycera.drawing.lettering import lettered
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import WIDTH, Picture, nothing, picture
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, tag
from polycera.errors import InputError


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    *,
    title: str,
    x_label: str,
    y_label: str = "rows",
) -> Picture:
    """A column for each bin, as high as there are rows in it.

    Args:
        edges: of the bins, ascending, [n + 1].
        counts: 0 or more, [n].
        title: what is shown.
        x_label, y_label: of the axes, with units.

    Raises:
        InputError: where the edges do not ascend, are not one more than the counts, or something is no number.

    Examples:
        >>> from polycera.drawing import histogram
        >>> histogram([-1, 0, 1], [3, 5], title="Residuals", x_label="EUR").summary
        '8 rows in 2 bins from −1 to 1; most are between 0 and 1: 5.'
    """
    at, high = array(edges, "The edges"), array(counts, "The counts")
    if len(at) != len(high) + 1:
        raise InputError(
            f"A histogram has {len(at)} edges for {len(high)} bins: give one edge more than bins."
        )
    if np.isnan(at).any() or (np.diff(at) < 0).any():
        raise InputError(
            "The edges of a histogram do not ascend: give finite numbers from low to high."
        )
    numbers = table(
        ["from", "to", y_label], [[*map(float, row)] for row in zip(at, at[1:], high, strict=False)]
    )
    if not np.nansum(high) > 0:
        return nothing(title, "there are no rows", numbers)
    y = axis([high], low=0.0, whole=True)
    left = max(room_for(y), 28.0)
    frame = Frame(axis([at], tight=True, count=8), y, left, 26.0, WIDTH - left - 14, 200.0)
    body = [frame.ground(x_label, y_label), frame.inside(*_columns(frame, at, high)), frame.floor]
    return picture(title, _summary(at, high, y_label), numbers, frame.below, *body)


def _columns(frame: Frame, at: np.ndarray, high: np.ndarray) -> list[Xml]:
    x, y = frame.across(at).tolist(), frame.down(np.nan_to_num(high)).tolist()
    rows = [[short(float(v)) for v in row] for row in zip(at, at[1:], high, strict=False)]
    said = [f"{a} to {b}: {n}" for a, b, n in rows]
    boxes = [_column(x[i], x[i + 1], y[i], frame.height) for i in range(len(high))]
    return [lettered(words, box, cls=colour(0)) for words, box in zip(said, boxes, strict=True)]


def _column(start: float, end: float, top: float, bottom: float) -> Xml:
    """With a gap to the next one; a single row among thousands is still to be seen."""
    high = max(bottom - top, 1.0) if bottom > top else 0.0
    return tag(
        "rect",
        x=start + 0.5,
        y=bottom - high,
        width=max(end - start - 1, 0.5),
        height=high,
        cls="pc-fill",
    )


def _summary(at: np.ndarray, high: np.ndarray, unit: str) -> str:
    most = int(np.nanargmax(high))
    ends = [short(float(v)) for v in (at[0], at[-1], at[most], at[most + 1])]
    total = (
        f"{short(float(np.nansum(high)))} {unit} in {len(high)} bin{'s' if len(high) != 1 else ''}"
    )
    return f"{total} from {ends[0]} to {ends[1]}; most are between {ends[2]} and {ends[3]}: {short(float(high[most]))}."
