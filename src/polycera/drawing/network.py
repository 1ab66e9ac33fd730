"""A network as a picture: trunk and branches from left to right, and which tasks each layer serves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from polycera.drawing import wires
from polycera.drawing.boxes import Box, boxes, levels
from polycera.drawing.layout import Node, Placed, layout
from polycera.drawing.lettering import label, lettered
from polycera.drawing.numerals import short
from polycera.drawing.picture import WIDTH, Picture, nothing, picture
from polycera.drawing.series import several
from polycera.drawing.style import colour
from polycera.drawing.table import table
from polycera.drawing.xml import Xml, plain, tag, together
from polycera.errors import shorten
from polycera.runs.results import Layer, Sharing

CHIPS = 12
"""More tasks than these are not drawn one by one."""
_BASE, _CHIP, _WIDEST = 68.0, 28.0, 184.0


@dataclass(frozen=True)
class Chip:
    """Tasks at the right end: one, or several that come from the same layers."""

    tasks: tuple[int, ...]


def network(found: Sharing, *, title: str = "Who shares what") -> Picture:
    """Layers as boxes, in colour where they serve one task, grey where they serve all.

    Boxes are higher the more units a layer has. Layers that are alike and serve a task each are one box where there
    are many, and of long stretches only the ends are drawn; the table has all layers.

    Args:
        found: which layer serves which tasks.
        title: what is shown.
    """
    headings = ["layer", "kind", "parameters", "output", "tasks"]
    numbers = table(headings, [_row(found, layer) for layer in found.layers])
    if not found.layers:
        return nothing(title, "the network has no layers", numbers)
    drawn = boxes(found)
    chips = _chips(found, drawn)
    placed = layout(_nodes(drawn, chips, len(found.tasks)), WIDTH, _WIDEST)
    shapes = [_shape(found, place) for place in placed.placed]
    notes = _notes(found, drawn)
    return picture(
        title,
        _summary(found),
        numbers,
        placed.height + 12,
        wires.wires(placed),
        *shapes,
        notes=notes,
    )


def _chips(found: Sharing, drawn: Sequence[Box]) -> list[tuple[Chip, tuple[int, ...]]]:
    """Tasks, with the boxes that their answers come from."""
    ends: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for task in range(len(found.tasks)):
        serving = [i for i, box in enumerate(drawn) if task in box.tasks]
        taken = {j for i in serving for j in drawn[i].inputs}
        ends[tuple(i for i in serving if i not in taken)].append(task)
    if len(found.tasks) <= CHIPS:
        return [(Chip((task,)), held) for held, tasks in ends.items() for task in tasks]
    return [(Chip(tuple(tasks)), held) for held, tasks in ends.items()]


def _nodes(
    drawn: Sequence[Box], chips: Sequence[tuple[Chip, tuple[int, ...]]], tasks: int
) -> list[Node]:
    at = levels(drawn)
    found = [
        Node(at[i], _height(box), _rank(sorted(box.tasks), tasks), box.inputs, box)
        for i, box in enumerate(drawn)
    ]
    last = max(at) + 1
    return found + [Node(last, _CHIP, _rank(chip.tasks, tasks), held, chip) for chip, held in chips]


def _height(box: Box) -> float:
    return _BASE + min(32.0, 3.2 * math.log2(1 + (box.units or 0)))


def _rank(tasks: Sequence[int], count: int) -> float:
    return sum(tasks) / len(tasks) if tasks else float(count)


def _shape(found: Sharing, place: Placed) -> Xml:
    thing = place.node.thing
    if isinstance(thing, Box):
        return _box(found, place, thing)
    return _chip(found, place, thing) if isinstance(thing, Chip) else Xml("")


def _box(found: Sharing, place: Placed, box: Box) -> Xml:
    cls = "pc-box pc-tint" if len(box.tasks) == 1 else "pc-box pc-fill-soft"
    size = {"width": place.width, "height": place.node.height, "rx": 5}
    dashes = None if box.tasks else "3 3"
    ground = tag("rect", x=place.x, y=place.y, cls=cls, stroke_dasharray=dashes, **size)
    whole = ", ".join(shorten(layer.name, 300) for layer in box.layers[:20])
    behind = (
        [tag("rect", x=place.x + 4, y=place.y - 4, cls="pc-box pc-fill-soft", **size)]
        if box.twins
        else []
    )
    shapes = [*behind, ground, _edge(found, place, box), *_words(found, place, box)]
    return lettered(f"{whole}: {served(found, box.tasks, 300)}", *shapes, cls=_hue(box.tasks))


def _words(found: Sharing, place: Placed, box: Box) -> list[Xml]:
    start = place.middle - _BASE / 2 + 17
    said = [(_name(box), "pc-strong"), (_kind(box), "pc-mute"), (_weights(box), "pc-mute")]
    said.append(("for one task each" if box.twins else served(found, box.tasks), "pc-text"))
    lines = [(place.x + 10, start + 15 * i, text, cls, i > 0) for i, (text, cls) in enumerate(said)]
    return [
        label(x, y, text, room=place.width - 15, cls=cls, small=small)
        for x, y, text, cls, small in lines
    ]


def _edge(found: Sharing, place: Placed, box: Box) -> Xml:
    """The left edge in the colours of the tasks served, where these are not all."""
    tasks = sorted(box.tasks)
    if not 1 <= len(tasks) <= 6 or 1 < len(tasks) == len(found.tasks):
        return Xml("")
    high = (place.node.height - 8) / len(tasks)
    tops = [(place.y + 4 + high * k, colour(task)) for k, task in enumerate(tasks)]
    return together(
        *(
            tag("rect", x=place.x + 2, y=y, width=4, height=high, cls=f"pc-fill {c}")
            for y, c in tops
        )
    )


def _chip(found: Sharing, place: Placed, chip: Chip) -> Xml:
    one = len(chip.tasks) == 1
    said = found.tasks[chip.tasks[0]] if one else f"{len(chip.tasks)} tasks"
    cls = "pc-box pc-tint" if one else "pc-box pc-fill-soft"
    ground = tag("rect", x=place.x, y=place.y, width=place.width, height=_CHIP, rx=14, cls=cls)
    middle, room = place.x + place.width / 2, place.width - 18
    words = label(middle, place.middle + 4, said, room=room, cls="pc-strong", anchor="middle")
    whole = ", ".join(shorten(found.tasks[task], 300) for task in chip.tasks[:40])
    return lettered(whole, ground, words, cls=_hue(frozenset(chip.tasks)))


def _hue(tasks: frozenset[int]) -> str:
    return colour(min(tasks)) if len(tasks) == 1 else "pc-neutral"


def _name(box: Box) -> str:
    if len(box.layers) == 1:
        return box.layers[0].name
    return (
        f"… {len(box.layers)} layers" if box.folded else f"{len(box.layers)} × {box.layers[0].kind}"
    )


def _weights(box: Box) -> str:
    count = box.parameters
    if count >= 1_000_000:
        return f"{short(count / 1_000_000, 3)} M weights"
    return f"{short(count)} weight{'s' if count != 1 else ''}" if count else "no weights"


def _kind(box: Box) -> str:
    kinds = list(dict.fromkeys(plain(layer.kind) for layer in box.layers))
    units = "" if box.units is None or box.folded else f" · {short(box.units)}"
    return f"{', '.join(kinds[:3])}{units}"


def served(found: Sharing, tasks: frozenset[int], limit: int = 40) -> str:
    """For whom, in words."""
    if len(tasks) == 1:
        return f"for {shorten(found.tasks[min(tasks)], limit)}"
    if 1 < len(tasks) == len(found.tasks):
        return "for both tasks" if len(tasks) == 2 else f"for all {len(tasks)} tasks"
    return f"for {len(tasks)} of {len(found.tasks)} tasks" if tasks else "for no task"


def _row(found: Sharing, layer: Layer) -> list[object]:
    shape = " × ".join("any" if length is None else str(length) for length in layer.shape)
    return [
        layer.name,
        layer.kind,
        layer.parameters,
        shape,
        served(found, frozenset(layer.tasks)),
    ]


def _notes(found: Sharing, drawn: Sequence[Box]) -> list[str]:
    folded = len(found.layers) - len(drawn)
    more = (
        [f"{len(found.layers)} layers as {len(drawn)} boxes; the table has all of them."]
        if folded
        else []
    )
    colours = "Grey: for all tasks; in colour: for one; with a striped edge: for some."
    return [f"{colours} Higher boxes have more units.", *more]


def _summary(found: Sharing) -> str:
    amount = found.parameters
    parts = [
        f"{short(part)} {word}"
        for part, word in ((amount.all, "serve all tasks"), (amount.some, "some"))
    ]
    weights = f"of {short(amount.total)} weights {', '.join(parts)}, {short(amount.one)} one"
    layers = f"{len(found.layers)} layer{'s' if len(found.layers) != 1 else ''}"
    return f"{several(found.tasks, 'task')}; {layers}; {weights}. {found.verdict}"
