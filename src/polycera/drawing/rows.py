"""Pictures with a row for each name: where the rows are, and the names to the left of them."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.drawing.axis import Axis
from polycera.drawing.frame import Frame
from polycera.drawing.lettering import SIZE, label, width
from polycera.drawing.picture import WIDTH
from polycera.drawing.xml import Xml, plain, together

LIMIT = 240
"""More rows are not drawn."""
_WIDEST = 190.0


def frame(names: Sequence[str], x: Axis, right: float) -> Frame:
    """The rectangle for so many rows.

    Args:
        names: of the rows.
        x: the horizontal axis.
        right: pixels for what is written to the right of it.
    """
    left = min(max((width(plain(name), SIZE) for name in names), default=0.0), _WIDEST) + 12
    return Frame(
        x,
        Axis(0.0, float(len(names)), []),
        left,
        6.0,
        WIDTH - left - right,
        len(names) * pitch(len(names)),
    )


def pitch(count: int) -> float:
    """Pixels from row to row."""
    return 26.0 if count <= 12 else 20.0 if count <= 40 else 15.0


def middle(frame: Frame, row: int, count: int) -> float:
    """Pixels from the top of the picture to the middle of a row."""
    return frame.top + (row + 0.5) * frame.height / count


def written(frame: Frame, names: Sequence[str], said: Sequence[str]) -> Xml:
    """The names at the left, and what is said of each at the right."""
    ys = [middle(frame, i, len(names)) + 4 for i in range(len(names))]
    left = [
        label(frame.left - 8, y, name, room=_WIDEST, anchor="end")
        for y, name in zip(ys, names, strict=True)
    ]
    return together(*left, *(_aside(y, text) for y, text in zip(ys, said, strict=True)))


def _aside(y: float, said: str) -> Xml:
    return label(WIDTH - 4.0, y, said, cls="pc-mute", anchor="end", small=True)


def cut(count: int) -> list[str]:
    """The note that says how many rows are left out, if any are."""
    return [f"{count - LIMIT} more rows are in the table only."] if count > LIMIT else []
