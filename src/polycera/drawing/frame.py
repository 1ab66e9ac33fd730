"""The ground of a picture with two axes: a grid, marks with numbers, labels, and places in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polycera.drawing.axis import Axis
from polycera.drawing.lettering import SMALL, label, width
from polycera.drawing.ticks import Tick
from polycera.drawing.xml import Xml, tag, together

_BEYOND = 5  # pixels around the rectangle in which a dot or half of a line may be


@dataclass(frozen=True)
class Frame:
    """Two axes, and the rectangle between them in pixels.

    Attributes:
        x, y: the axes.
        left, top, width, height: of the rectangle.
    """

    x: Axis
    y: Axis
    left: float
    top: float
    width: float
    height: float

    def across(self, values: np.ndarray | float) -> np.ndarray:
        """Pixels from the left side of the rectangle."""
        return self.x.at(values) * self.width

    def down(self, values: np.ndarray | float) -> np.ndarray:
        """Pixels from the top of the rectangle."""
        return (1 - self.y.at(values)) * self.height

    def inside(self, *parts: Xml) -> Xml:
        """Shapes with places of the rectangle, cut off beyond it. Scripts find the ends of the axes in it."""
        ends = {
            "data_x": f"{self.x.low!r} {self.x.high!r}",
            "data_y": f"{self.y.low!r} {self.y.high!r}",
        }
        wide, high = self.width + 2 * _BEYOND, self.height + 2 * _BEYOND
        place = {"x": self.left - _BEYOND, "y": self.top - _BEYOND, "width": wide, "height": high}
        view = f"{-_BEYOND} {-_BEYOND} {wide:.1f} {high:.1f}"
        return tag("svg", *parts, cls="pc-plot", overflow="hidden", viewBox=view, **place, **ends)

    def ground(
        self, x_label: str = "", y_label: str = "", *, rows: bool = True, columns: bool = True
    ) -> Xml:
        """Grid, marks and labels.

        Args:
            x_label: below the marks.
            y_label: above the axis, where it can be read without turning one's head.
            rows: whether there are marks on the vertical axis; else the horizontal one has a grid.
            columns: whether there are marks on the horizontal axis.
        """
        parts = [self._row(tick) for tick in self.y.ticks if rows]
        parts += [self._column(tick, not rows) for tick in self.readable if columns]
        middle, below = self.left + self.width / 2, self.top + self.height + 33
        parts += (
            [label(middle, below, x_label, room=self.width, cls="pc-mute", anchor="middle")]
            if x_label
            else []
        )
        parts += (
            [label(0.0, self.top - 12, y_label, room=self.width, cls="pc-mute")] if y_label else []
        )
        return together(*parts)

    @property
    def floor(self) -> Xml:
        """The line that the horizontal axis is."""
        return tag(
            "path",
            d=f"M{self.left:.1f} {self.top + self.height:.1f}h{self.width:.1f}",
            cls="pc-axis",
        )

    @property
    def readable(self) -> list[Tick]:
        """Marks of the horizontal axis whose labels do not touch: all, every second, ..."""
        widest = max((width(tick.label, SMALL) for tick in self.x.ticks), default=0.0) + 10
        fitting = max(1, int(self.width / widest))
        return self.x.ticks[:: -(-len(self.x.ticks) // fitting)] if self.x.ticks else []

    def _row(self, tick: Tick) -> Xml:
        y = self.top + float(self.down(tick.value))
        line = tag("path", d=f"M{self.left:.1f} {y:.1f}h{self.width:.1f}", cls="pc-grid")
        return together(
            line, label(self.left - 6, y + 4, tick.label, cls="pc-mute", anchor="end", small=True)
        )

    def _column(self, tick: Tick, long: bool) -> Xml:
        x, bottom = self.left + float(self.across(tick.value)), self.top + self.height
        line = f"M{x:.1f} {self.top:.1f}v{self.height:.1f}" if long else f"M{x:.1f} {bottom:.1f}v4"
        words = label(x, bottom + 16, tick.label, cls="pc-mute", anchor="middle", small=True)
        return together(tag("path", d=line, cls="pc-grid" if long else "pc-axis"), words)

    @property
    def below(self) -> float:
        """Pixels from the top of the picture to below the marks and the label of the horizontal axis."""
        return self.top + self.height + 38


def room_for(axis: Axis) -> float:
    """Pixels that the labels of a vertical axis take."""
    return max((width(tick.label, SMALL) for tick in axis.ticks), default=0.0) + 10
