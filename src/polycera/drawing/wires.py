"""The lines between the boxes of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from polycera.drawing.layout import NetworkLayout, Placed
from polycera.drawing.xml import Xml, tag, together

_LANE, _LANES = 4.0, 4  # pixels from one line to the next where they run side by side


class Lane(NamedTuple):
    """Which way a line takes from one band to the next: the place among those that do, and how many there are."""

    place: int
    among: int


def wires(found: NetworkLayout) -> Xml:
    """A line from each node to those that take what it gives."""
    pairs = [(found.placed[j], end) for end in found.placed for j in end.node.inputs]
    lanes = _lanes([start for start, end in pairs if start.band != end.band])
    return together(*(_wire(found, start, end, lanes) for start, end in pairs))


def _lanes(starts: list[Placed]) -> Mapping[tuple[int, float], Lane]:
    """From top to bottom, so that lines to the next band do not cross each other on their way around."""
    known = sorted({(start.band, start.middle) for start in starts})
    bands = [band for band, _ in known]
    first = {band: bands.index(band) for band in bands}
    return {key: Lane(i - first[key[0]], bands.count(key[0])) for i, key in enumerate(known)}


def _wire(
    found: NetworkLayout, start: Placed, end: Placed, lanes: Mapping[tuple[int, float], Lane]
) -> Xml:
    near = start.band == end.band
    path = (
        _curve(start, end) if near else _around(found, start, end, lanes[start.band, start.middle])
    )
    if end.node.thing is None:  # it only passes this column
        return tag("path", d=f"{path}h{end.width:.1f}", cls="pc-axis")
    head = tag("path", d=f"M{end.x:.1f} {end.middle:.1f}l-6 -3.5v7z", cls="pc-fill-axis")
    return together(tag("path", d=path, cls="pc-axis"), head)


def _curve(start: Placed, end: Placed) -> str:
    x, y, z, w = start.x + start.width, start.middle, end.x, end.middle
    half = (x + z) / 2
    return f"M{x:.1f} {y:.1f}C{half:.1f} {y:.1f} {half:.1f} {w:.1f} {z:.1f} {w:.1f}"


def _around(found: NetworkLayout, start: Placed, end: Placed, lane: Lane) -> str:
    """Out at the right, back between the two bands, and in at the left."""
    inner, outer = min(lane.place, _LANES), min(lane.among - 1 - lane.place, _LANES)
    right, left = found.right + 6 + _LANE * outer, found.left - 9 - _LANE * inner
    between = found.floors[start.band] + 14 + _LANE * outer
    x, y = start.x + start.width, start.middle
    return f"M{x:.1f} {y:.1f}H{right:.1f}V{between:.1f}H{left:.1f}V{end.middle:.1f}H{end.x:.1f}"
