"""Boxes into columns, columns into bands that fit the width: places in pixels, and the lines between boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

BAND = 5
"""Columns side by side at most; the next ones go below."""
_GAP, _ROW, _BETWEEN, _MARGIN = 27.0, 12.0, 50.0, 26.0


@dataclass(frozen=True)
class Node:
    """Something with a place: a box, a task, or a bend of a line that passes a column.

    Attributes:
        level: its column.
        height: pixels.
        rank: what it is ordered by where nothing else decides.
        inputs: nodes that lead to it, all in columns before.
        thing: what it stands for; None for a bend.
    """

    level: int
    height: float
    rank: float
    inputs: tuple[int, ...]
    thing: object = None


@dataclass(frozen=True)
class Placed:
    """A node with its rectangle, and the band that it is in."""

    node: Node
    x: float
    y: float
    width: float
    band: int

    @property
    def middle(self) -> float:
        """Pixels from the top to where lines end."""
        return self.y + self.node.height / 2


@dataclass(frozen=True)
class NetworkLayout:
    """All places.

    Attributes:
        placed: the nodes, bends among them.
        floors: where each band ends.
        left, right: between which the columns are.
        height: of all.
    """

    placed: list[Placed]
    floors: list[float]
    left: float
    right: float
    height: float


def layout(nodes: Sequence[Node], width: float, widest: float) -> NetworkLayout:
    """Give each node a place.

    Args:
        nodes: each after those that lead to it.
        width: pixels that there are.
        widest: pixels of a column at most.
    """
    bent = _bent(nodes)
    columns = _ordered(bent)
    bands = -(-len(columns) // BAND)
    count = -(-len(columns) // bands)
    margin = _MARGIN if bands > 1 else 1.0
    wide = min(widest, (width - 2 * margin - _GAP * (count - 1)) / count)
    placed: dict[int, Placed] = {}
    floors, top = [], 0.0
    for band in range(bands):
        held = columns[band * count : (band + 1) * count]
        tall = max(_tall(bent, column) for column in held)
        for k, column in enumerate(held):
            placed |= _stacked(bent, column, margin + k * (wide + _GAP), top, tall, wide, band)
        floors.append(top + tall)
        top += tall + _BETWEEN
    right = margin + count * (wide + _GAP) - _GAP
    return NetworkLayout([placed[i] for i in range(len(bent))], floors, margin, right, floors[-1])


def _bent(nodes: Sequence[Node]) -> list[Node]:
    """The same with a bend wherever a line passes a column; lines then lead from each column to the next."""
    found = list(nodes)
    bends: dict[tuple[int, int], int] = {}
    for i, node in enumerate(nodes):
        found[i] = replace(
            node, inputs=tuple(_stretched(found, bends, j, node.level) for j in node.inputs)
        )
    return found


def _stretched(
    found: list[Node], bends: dict[tuple[int, int], int], source: int, level: int
) -> int:
    last = source
    for between in range(found[source].level + 1, level):
        if (source, between) not in bends:
            bends[source, between] = len(found)
            found.append(Node(between, 4.0, found[source].rank, (last,)))
        last = bends[source, between]
    return last


def _ordered(nodes: Sequence[Node]) -> list[list[int]]:
    """The nodes of each column from top to bottom, near those that they are connected with."""
    columns: dict[int, list[int]] = defaultdict(list)
    takers: dict[int, list[int]] = defaultdict(list)
    for i, node in enumerate(nodes):
        columns[node.level].append(i)
        for j in node.inputs:
            takers[j].append(i)
    held = [sorted(columns[level], key=lambda i: (nodes[i].rank, i)) for level in sorted(columns)]
    place = {i: _part(k, column) for column in held for k, i in enumerate(column)}
    for forward in (True, False, True):
        for column in held if forward else reversed(held):
            near = {i: nodes[i].inputs if forward else takers[i] for i in column}
            wanted = {i: _mean([place[j] for j in near[i]], place[i]) for i in column}
            column.sort(key=lambda i: (round(wanted[i], 9), nodes[i].rank, i))
            place |= {i: _part(k, column) for k, i in enumerate(column)}
    return held


def _part(k: int, column: Sequence[int]) -> float:
    return (k + 0.5) / len(column)


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _tall(nodes: Sequence[Node], column: Sequence[int]) -> float:
    return sum(nodes[i].height for i in column) + _ROW * (len(column) - 1)


def _stacked(
    nodes: Sequence[Node],
    column: Sequence[int],
    x: float,
    top: float,
    tall: float,
    wide: float,
    band: int,
) -> dict[int, Placed]:
    """Boxes in the middle; lines that pass above or below all of them at the edges, where they are straight."""
    y, found = top + (tall - _tall(nodes, column)) / 2, {}
    for i in column:
        found[i] = Placed(nodes[i], x, y, wide, band)
        y += nodes[i].height + _ROW
    for edge, order, step in ((top, column, _ROW), (top + tall, column[::-1], -_ROW)):
        passing = [*takewhile(lambda i: nodes[i].thing is None, order)]
        found |= {
            i: replace(found[i], y=edge + step * k)
            for k, i in enumerate(passing)
            if len(passing) < len(column)
        }
    return found
