"""Draw a network as regions of layers: what all tasks share, what some do, what is of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import LEGEND, Record, plural, say

WIDE = 0.44
"""Half the width of a box, where columns are 1 apart."""


@dataclass
class LayerGroup:
    """Layers that lie together and serve the same tasks; or such layers of several tasks alike.

    Attributes:
        tasks: places of the tasks that they serve.
        layers: their names, in order.
        kinds: their classes in Keras, without repetition.
        parameters: weights of all.
        inputs: places of the regions that feed this one.
        alike: how many regions this one stands for.
        column: from the left.
        height: of its middle, 0 at the top, 1 at the bottom.
    """

    tasks: tuple[int, ...]
    layers: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    parameters: int = 0
    inputs: set[int] = field(default_factory=set)
    alike: int = 1
    column: int = 0
    height: float = 0.5


def network(
    layers: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    *,
    title: str = "Which layers serve which tasks",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw the shared regions of a network from left to right: layers of the same tasks are a box.

    A box of one task has its colour. Of more than 12 tasks, those whose layers are alike are one
    box.

    Args:
        layers: as in `sharing.json`: `name`, `kind`, `tasks` (places in `tasks`), `parameters`,
            `inputs` (names of layers), in an order in which they can be called.
        tasks: names.
        title: what is shown.
        colours: task -> colour, as `task_colours` gives them.

    Raises:
        InputError: where a layer serves a task, or takes a layer, that is not there.

    Examples:
        >>> from polycera import plots
        >>> layers = [
        ...     {"name": "in", "kind": "Dense", "tasks": [0, 1], "parameters": 640, "inputs": []},
        ...     {"name": "a", "kind": "Dense", "tasks": [0], "parameters": 8, "inputs": ["in"]},
        ...     {"name": "b", "kind": "Dense", "tasks": [1], "parameters": 8, "inputs": ["in"]},
        ... ]
        >>> plots.network(layers, ["churn", "revenue"]).to_dict()["description"]
        'Which layers serve which tasks: 3 layers in 3 regions for 2 tasks. 640 of 656 weights serve
        all tasks, 0 some, 16 one.'
    """
    alt = theme.altair()
    names = [str(task) for task in tasks]
    if not layers:
        return chart_parts.sentence_only(title, "The network has no layers.")
    regions = _regions(layers, len(names))
    if len(names) > LEGEND:
        regions = _alike(regions)
    _place(regions, len(names))
    palette = theme.colours_of(names, colours)
    records = [_box(region, names, palette) for region in regions]
    columns = max(region.column for region in regions) + 1
    most = max(sum(r.column == column for r in regions) for column in range(columns))
    half = min(0.44 / most, 0.2)
    x = alt.X("left:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False))
    y = alt.Y("top:Q", axis=None, scale=alt.Scale(domain=[1, 0], nice=False))
    wires = [
        {
            "left": regions[i].column + WIDE,
            "right": region.column - WIDE,
            "top": regions[i].height,
            "bottom": region.height,
        }
        for region in regions
        for i in sorted(region.inputs)
    ]
    for record in records:
        record |= {"top": record["middle"] - half, "bottom": record["middle"] + half}
    base = alt.Chart(chart_parts.rows(records)).encode(
        tooltip=chart_parts.tips(
            layers_text="layers",
            serves_text="serves",
            names_text="tasks",
            parameters="weights",
        )
    )
    room = alt.expr(f"width / {columns} * {2 * WIDE} - 14")
    layers_drawn = [
        alt.Chart(chart_parts.rows(wires))
        .mark_rule(style="zero", strokeWidth=1.5, aria=False)
        .encode(x=x, x2="right:Q", y=y, y2="bottom:Q"),
        base.mark_rect(style="box", cornerRadius=4, aria=False).encode(
            x=x, x2="right:Q", y=y, y2="bottom:Q"
        ),
        base.mark_rule(strokeWidth=5, aria=False).encode(
            x=x, y=y, y2="bottom:Q", color=alt.Color("colour:N", scale=None)
        ),
    ]
    for style, words, down in (
        ("name", "head", -15),
        ("quiet", "size", 1),
        ("quiet", "serves", 16),
    ):
        text = base.mark_text(
            style=style, align="left", baseline="middle", dx=9, dy=down, limit=room, aria=False
        )
        layers_drawn.append(text.encode(x=x, y=alt.Y("middle:Q"), text=f"{words}:N"))
    weights = _weights(layers, len(names))
    said = f"{title}: {plural(len(layers), 'layer')} in {plural(len(regions), 'region')} for "
    said += f"{plural(len(names), 'task')}. {weights['all']:,} of {sum(weights.values()):,} "
    said += f"weights serve all tasks, {weights['some']:,} some, {weights['one']:,} one."
    return chart_parts.finish(
        alt.layer(*layers_drawn), title=title, description=said, height=max(110, 74 * most)
    )


def _regions(layers: Sequence[Mapping[str, Any]], tasks: int) -> list[LayerGroup]:
    """Return connected layers of the same tasks as one region each.

    A layer's tasks are among those of its inputs, so a path that has left a region cannot come
    back to it, and the regions have an order too.
    """
    owner: dict[str, int] = {}
    regions: list[LayerGroup] = []
    for layer in layers:
        serves = tuple(sorted({int(task) for task in layer["tasks"]}))
        if serves and not 0 <= serves[0] <= serves[-1] < tasks:
            raise InputError(
                f"The layer {shorten(layer['name'])!r} serves a task that is not there: there are "
                f"{plural(tasks, 'task')}."
            )
        unknown = [name for name in layer["inputs"] if name not in owner]
        if unknown:
            raise InputError(
                f"The layer {shorten(layer['name'])!r} takes {shorten(unknown[0])!r}, which is "
                "not a layer before it: give layers in an order in which they can be called."
            )
        before = {owner[name] for name in layer["inputs"]}
        same = sorted(place for place in before if regions[place].tasks == serves)
        if not same:
            regions.append(LayerGroup(serves))
            same = [len(regions) - 1]
        place = same[0]
        for other in same[1:]:
            _merge(regions, owner, place, other)
        region = regions[place]
        region.layers.append(str(layer["name"]))
        region.kinds = list(dict.fromkeys([*region.kinds, str(layer["kind"])]))
        region.parameters += int(layer["parameters"])
        region.inputs |= {owner[name] for name in layer["inputs"]} - {place}
        owner[str(layer["name"])] = place
    return _packed(regions)


def _merge(regions: list[LayerGroup], owner: dict[str, int], place: int, other: int) -> None:
    """Move all of one region into another, and leave it empty."""
    one, two = regions[place], regions[other]
    one.layers += two.layers
    one.kinds = list(dict.fromkeys([*one.kinds, *two.kinds]))
    one.parameters += two.parameters
    one.inputs = (one.inputs | two.inputs) - {place, other}
    regions[other] = LayerGroup(two.tasks)
    owner |= {name: place for name, held in owner.items() if held == other}
    for region in regions:
        if other in region.inputs:
            region.inputs = (region.inputs - {other}) | {place}
    one.inputs.discard(place)


def _packed(regions: list[LayerGroup]) -> list[LayerGroup]:
    """Return the regions that have layers, with their inputs renumbered."""
    kept = [i for i, region in enumerate(regions) if region.layers]
    new = {old: place for place, old in enumerate(kept)}
    for i in kept:
        regions[i].inputs = {new[old] for old in regions[i].inputs}
    return [regions[i] for i in kept]


def _alike(regions: list[LayerGroup]) -> list[LayerGroup]:
    """Return regions of one task with the same inputs, kinds and size as one region."""
    groups: dict[Any, list[int]] = defaultdict(list)
    feeding = {i for region in regions for i in region.inputs}
    for i, region in enumerate(regions):
        alone = len(region.tasks) == 1 and i not in feeding
        like = (tuple(sorted(region.inputs)), tuple(region.kinds), region.parameters)
        groups[like if alone else i].append(i)
    for places in groups.values():
        first = regions[places[0]]
        for place in places[1:]:
            other = regions[place]
            first.layers = [*first.layers, *other.layers]
            first.tasks = tuple(sorted({*first.tasks, *other.tasks}))
            first.parameters += other.parameters
            first.alike += 1
            regions[place] = LayerGroup(())
    return _packed(regions)


def _place(regions: list[LayerGroup], tasks: int) -> None:
    """Give each region its column, and its height within it."""
    waiting = set(range(len(regions)))
    while waiting:
        ready = [i for i in sorted(waiting) if not regions[i].inputs & waiting]
        for i in ready:
            before = [regions[j].column + 1 for j in regions[i].inputs]
            regions[i].column = max(before, default=0)
        waiting -= set(ready)
    columns: dict[int, list[LayerGroup]] = defaultdict(list)
    for region in regions:
        columns[region.column].append(region)
    for own in columns.values():
        own.sort(key=lambda one: sum(one.tasks) / len(one.tasks) if one.tasks else tasks)
        for place, region in enumerate(own):
            region.height = (place + 0.5) / len(own)


def _box(region: LayerGroup, names: Sequence[str], palette: Mapping[str, str]) -> Record:
    own = [names[task] for task in region.tasks]
    one = len(own) == 1
    several = f"{len(region.layers)} layers"
    head = region.layers[0] if len(region.layers) == 1 else several
    if region.alike > 1:
        head = f"{region.alike} × {region.kinds[0]}"
    serves = "for no task"
    if own:
        serves = f"for {own[0]}" if one else f"for {len(own)} of {len(names)} tasks"
    if region.alike > 1:
        serves = "for one task each"
    elif 1 < len(own) == len(names):
        serves = "for both tasks" if len(own) == 2 else f"for all {len(own)} tasks"
    return {
        "head": head,
        "size": f"{say(region.parameters)} weights" if region.parameters else "no weights",
        "serves": serves,
        "layers": ", ".join(region.layers[:12]) + (" …" if len(region.layers) > 12 else ""),
        "names": ", ".join(own[:12]) + (" …" if len(own) > 12 else ""),
        "parameters": region.parameters,
        "left": region.column - WIDE,
        "right": region.column + WIDE,
        "middle": region.height,
        "colour": palette[own[0]] if one else theme.NEUTRAL,
    }


def _weights(layers: Sequence[Mapping[str, Any]], tasks: int) -> dict[str, int]:
    """Return how many weights serve all tasks, some, one or none."""
    found = {"all": 0, "some": 0, "one": 0, "none": 0}
    for layer in layers:
        count = len(set(layer["tasks"]))
        word = "none" if not count else "all" if count == tasks else "one" if count == 1 else "some"
        found[word] += int(layer["parameters"])
    return found
