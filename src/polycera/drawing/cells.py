"""The coloured part of a heat map, and its scale."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable

import numpy as np

from polycera.drawing import ramp
from polycera.drawing.grid import Grid
from polycera.drawing.lettering import SMALL, label, lettered, width
from polycera.drawing.numerals import GAP, fixed, short
from polycera.drawing.xml import Xml, escape, plain, tag, together

_STEPS, _STEP = 48, 3.5  # of the scale; pixels of each


def cells(ground: Grid, values: np.ndarray, at: np.ndarray, diverging: bool, show: bool) -> Xml:
    """A rectangle for each number, with a tooltip, and the number in it where it is wanted and fits.

    Args:
        ground: where the cells are.
        values: [rows, columns], NaN where undefined.
        at: the same as parts of the scale, 0..1.
        diverging: the scale has two hues.
        show: numbers are wanted.
    """
    fills = ramp.colours(np.nan_to_num(at), diverging)
    known, write = ~np.isnan(values), _writer(values)
    drawn = []
    for r, c in np.ndindex(*values.shape):
        fill, said = fills[r, c] if known[r, c] else None, write(float(values[r, c]))
        words = (
            [_number(ground, r, c, said, fill)]
            if show and width(said, SMALL) <= ground.wide - 4
            else []
        )
        tip = f"{plain(ground.rows[r])}, {plain(ground.columns[c])}: {short(float(values[r, c]))}"
        drawn.append(lettered(tip, _box(ground, r, c, fill), *words))
    return together(*drawn)


def _box(ground: Grid, r: int, c: int, fill: np.ndarray | None) -> Xml:
    place = {
        "x": ground.wide * c,
        "y": ground.high * r,
        "width": ground.wide,
        "height": ground.high,
    }
    if fill is None:
        return tag("rect", cls="pc-part pc-fill-soft", **place)
    return tag("rect", cls="pc-part", fill=ramp.code(fill), **place)


def _number(ground: Grid, r: int, c: int, said: str, fill: np.ndarray | None) -> Xml:
    x, y = ground.wide * (c + 0.5), ground.high * (r + 0.5) + 4
    if fill is None:
        return label(x, y, said, cls="pc-mute", anchor="middle", small=True)
    return tag(
        "text",
        escape(said),
        x=x,
        y=y,
        cls="pc-small",
        text_anchor="middle",
        style=f"fill:{ramp.ink(fill)}",
    )


def _writer(values: np.ndarray) -> Callable[[float], str]:
    """Counts in full, others with two decimals, unless these would all look like 0."""
    known = values[~np.isnan(values)]
    if (known != np.floor(known)).any() and 0.05 <= np.abs(known).max() < 100:
        return lambda value: GAP if np.isnan(value) else fixed(value)
    return lambda value: short(value, 3)


def raster(at: np.ndarray, diverging: bool) -> Xml:
    """One pixel for each number, as an image within the picture; undefined ones are clear."""
    level = np.where(np.isnan(at), 0, 1 + np.round(np.nan_to_num(at) * 254)).astype("uint8")
    palette = np.concatenate(
        [np.zeros((1, 3), "uint8"), ramp.colours(np.linspace(0, 1, 255), diverging)]
    )
    held = base64.b64encode(_png(level, palette)).decode()
    size = {"width": level.shape[1], "height": level.shape[0]}
    return tag(
        "image", href=f"data:image/png;base64,{held}", style="image-rendering:pixelated", **size
    )


def _png(level: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG image of indexed colours, of which the first is clear."""
    high, wide = level.shape
    # 0: the row is stored as it is
    rows = np.concatenate([np.zeros((high, 1), "uint8"), level], axis=1)
    head = struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)
    parts = [
        (b"IHDR", head),
        (b"PLTE", palette.tobytes()),
        (b"tRNS", b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, held) for kind, held in [*parts, (b"IEND", b"")]
    )


def _chunk(kind: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def legend(x: float, y: float, low: float, high: float, diverging: bool) -> Xml:
    """The scale, with the numbers at its ends, and 0 where two hues meet there."""
    both = diverging and low < 0 < high
    first, last = (-max(-low, high), max(-low, high)) if both else (low, high)
    fills = ramp.colours((np.arange(_STEPS) + 0.5) / _STEPS, diverging)
    boxes = [
        tag("rect", x=x + _STEP * i, y=y, width=_STEP + 0.3, height=9, fill=ramp.code(f))
        for i, f in enumerate(fills)
    ]
    ends = [("start", 0.0, first), ("end", 1.0, last), *([("middle", 0.5, 0.0)] if both else [])]
    return together(
        *boxes,
        *(_end(x + _STEP * _STEPS * part, y + 22, value, anchor) for anchor, part, value in ends),
    )


def _end(x: float, y: float, value: float, anchor: str) -> Xml:
    return label(x, y, short(value), cls="pc-mute", anchor=anchor, small=True)
