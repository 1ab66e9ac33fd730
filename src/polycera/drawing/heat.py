"""A table of numbers as coloured cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from polycera.drawing import ramp
from polycera.drawing.cells import cells, legend, raster
from polycera.drawing.grid import Grid, grid
from polycera.drawing.numerals import array, short
from polycera.drawing.picture import Picture, nothing, picture
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, isolated, tag
from polycera.errors import InputError, listing, shorten

SHOWN = 15
"""In wider and higher tables no numbers are written into the cells."""
LIMIT = 400
"""More rows or columns are not drawn."""
_SINGLE = 1600  # cells that are elements of their own; more are one image


def heat(
    values: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    low: float,
    high: float,
    diverging: bool = False,
    show: bool = True,
    x_label: str = "",
    y_label: str = "",
) -> Picture:
    """A cell for each number, darker for more; with two hues, from 0 in both directions.

    Args:
        values: [rows, columns], None where undefined.
        rows, columns: their names.
        title: what is shown.
        low, high: what has the colours at the ends of the scale, and whatever is beyond.
        diverging: two hues.
        show: numbers in the cells, where they find room and there are 15 rows and columns at most.
        x_label, y_label: what columns and rows are.

    Raises:
        InputError: where the numbers are not as many as the names say, something is no number, or `low` is not
            below `high`.

    Examples:
        >>> from polycera.drawing import heat
        >>> heat(
        ...     [[1.0, -0.2]], ["churn"], ["churn", "revenue"], title="Cosine", low=-1, high=1
        ... ).numbers
        [['', 'churn', 'revenue'], ['churn', '1', '−0.2']]
    """
    found = _checked(values, rows, columns, low, high)
    numbers = table(
        ["", *columns], [[name, *map(float, row)] for name, row in zip(rows, found, strict=True)]
    )
    if np.isnan(found).all():
        return nothing(title, "no number is defined", numbers)
    part = found[:LIMIT, :LIMIT]
    ground = grid(rows[:LIMIT], columns[:LIMIT], x_label, y_label)
    at = ramp.places(part, low, high, diverging)
    body = [
        _inside(ground, part, at, diverging, show),
        ground.names(),
        ground.axes(x_label, y_label),
    ]
    scale = legend(ground.left, ground.bottom + 12, low, high, diverging)
    more = (
        [f"Only the first {LIMIT} rows and columns are drawn."] if max(found.shape) > LIMIT else []
    )
    return picture(
        title, _summary(found, rows, columns), numbers, ground.bottom + 40, *body, scale, notes=more
    )


def _inside(ground: Grid, part: np.ndarray, at: np.ndarray, diverging: bool, show: bool) -> Xml:
    """The cells, each an element, or all one image."""
    rows, columns = part.shape
    single = part.size <= _SINGLE
    shown = show and max(part.shape) <= SHOWN
    drawn = cells(ground, part, at, diverging, shown) if single else raster(at, diverging)
    place = {
        "x": ground.left,
        "y": ground.top,
        "width": ground.wide * columns,
        "height": ground.high * rows,
    }
    stretched = (
        {} if single else {"viewBox": f"0 0 {columns} {rows}", "preserveAspectRatio": "none"}
    )
    return tag("svg", drawn, **place, **stretched)


def _checked(
    values: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    low: float,
    high: float,
) -> np.ndarray:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(
            f"A scale of colours cannot go from {low} to {high}: give finite numbers, the lower one first."
        )
    wide = [len(row) for row in values]
    if wide != [len(columns)] * len(rows):
        raise InputError(
            f"There are {len(rows)} names of rows and {len(columns)} of columns, but {len(wide)} rows of "
            f"{listing(sorted(set(wide)))} numbers: give one number for each cell."
        )
    found = [
        array(row, f"The row {shorten(name)!r}") for row, name in zip(values, rows, strict=True)
    ]
    return np.array(found).reshape(len(rows), len(columns))


def _summary(found: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> str:
    said = []
    for place in (np.nanargmin(found), np.nanargmax(found)):
        r, c = divmod(int(place), len(columns))
        said.append(
            f"{short(float(found[r, c]))} ({isolated(shorten(rows[r]))}, {isolated(shorten(columns[c]))})"
        )
    down = f"{len(rows)} row{'s' if len(rows) != 1 else ''}"
    across = f"{len(columns)} column{'s' if len(columns) != 1 else ''}"
    return f"{down} and {across}; from {said[0]} to {said[1]}."
