"""Where the cells of a heat map are, and the names around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from polycera.drawing.lettering import SIZE, SMALL, label, width
from polycera.drawing.picture import WIDTH
from polycera.drawing.xml import Xml, plain, together

_BESIDE, _ABOVE, _WIDEST = 150.0, 110.0, 96.0  # pixels: names of rows, of columns; a cell


@dataclass(frozen=True)
class Grid:
    """Where the cells are, in pixels.

    Attributes:
        rows, columns: names.
        left, top: of the first cell.
        wide, high: of each cell.
        turned: whether the names of the columns lead upwards.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    left: float
    top: float
    wide: float
    high: float
    turned: bool

    @property
    def bottom(self) -> float:
        """Below the last row."""
        return self.top + self.high * len(self.rows)

    def names(self) -> Xml:
        """The names of rows and columns, of every second, third, ... where all do not fit."""
        down, across = math.ceil(13 / self.high), math.ceil((14 if self.turned else 1) / self.wide)
        left = [self._row(i) for i in range(0, len(self.rows), down)]
        return together(*left, *(self._column(i) for i in range(0, len(self.columns), across)))

    def _row(self, i: int) -> Xml:
        y = self.top + self.high * (i + 0.5) + 4
        return label(self.left - 7, y, self.rows[i], room=_BESIDE, anchor="end")

    def _column(self, i: int) -> Xml:
        x, y = self.left + self.wide * (i + 0.5), self.top - 8
        if not self.turned:
            return label(x, y, self.columns[i], room=self.wide, anchor="middle", small=True)
        return label(
            x + 3,
            y,
            self.columns[i],
            room=_ABOVE,
            small=True,
            turn=f"rotate(-45 {x + 3:.1f} {y:.1f})",
        )

    def axes(self, x_label: str, y_label: str) -> Xml:
        """What the columns and the rows are."""
        high = self.bottom - self.top
        middle = self.top + high / 2
        above = label(self.left, 12.0, x_label, room=WIDTH - self.left, cls="pc-mute")
        turn = f"rotate(-90 12 {middle:.1f})"
        beside = label(
            12.0, middle, y_label, room=max(high, 60.0), cls="pc-mute", anchor="middle", turn=turn
        )
        return together(above if x_label else Xml(""), beside if y_label else Xml(""))


def grid(rows: Sequence[str], columns: Sequence[str], x_label: str, y_label: str) -> Grid:
    """The grid for these names: as wide as the picture lets it, and cells about as high as wide."""
    left = _longest(rows, SIZE, _BESIDE) + 12 + 18 * bool(y_label)
    longest = _longest(columns, SMALL, _ABOVE)
    wide = min(_WIDEST, (WIDTH - left - 16) / max(len(columns), 1))
    turned = longest > wide - 8
    if turned:  # the last name leads beyond the last cell
        wide = min(_WIDEST, (WIDTH - left - max(16.0, 0.71 * longest)) / max(len(columns), 1))
    top = (longest * 0.71 + 20 if turned else 24.0) + 18 * bool(x_label)
    high = min(max(wide, 20.0), 34.0) if len(rows) <= 30 else min(max(460 / len(rows), 1.5), 15.0)
    return Grid(rows, columns, left, top, wide, high, turned)


def _longest(names: Sequence[str], size: float, limit: float) -> float:
    return min(max((width(plain(name), size) for name in names), default=0.0), limit)
