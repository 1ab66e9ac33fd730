"""The layers of a network as boxes: twins as one, long stretches folded, so that any network can be looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from polycera.runs.results import Layer, Sharing

Labelled = Callable[[Sequence["Box"]], list[Hashable]]
TWINS = 6
"""More layers than these that are alike, and side by side, are one box."""
LONG = 14
"""Of a longer stretch that serves the same tasks only the first two and the last two steps are boxes."""
BOXES, SIDE_BY_SIDE, SLICES = 60, 12, 12
"""Of more boxes in one column the further ones are put together, and of more in all so many slices are made."""


@dataclass(frozen=True)
class Box:
    """One layer, or several drawn as one.

    Attributes:
        layers: what it stands for.
        inputs: places of the boxes that it takes, all before it.
        folded: whether the layers are one after another, and not side by side.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    folded: bool = False

    @property
    def tasks(self) -> frozenset[int]:
        """Places of the tasks that it serves."""
        return frozenset(task for layer in self.layers for task in layer.tasks)

    @property
    def twins(self) -> bool:
        """Whether it is several layers side by side, of one kind and for one task each."""
        alike = len({layer.kind for layer in self.layers}) == 1 and all(
            len(layer.tasks) == 1 for layer in self.layers
        )
        return len(self.layers) > 1 and not self.folded and alike

    @property
    def parameters(self) -> int:
        """Weights of all its layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def units(self) -> int | None:
        """Length of the last axis of what it gives, where that is fixed and of layers side by side the same."""
        lengths = {
            layer.shape[-1] if layer.shape else None
            for layer in self.layers[-1 if self.folded else 0 :]
        }
        return lengths.pop() if len(lengths) == 1 else None


def boxes(found: Sharing) -> list[Box]:
    """The network as boxes, each after those that it takes."""
    drawn = _merged(_single(found.layers), _alike)
    drawn = _merged(drawn, lambda each: _stretches(each, LONG), folded=True)
    if len(drawn) > BOXES:
        drawn = _merged(drawn, lambda each: _stretches(each, 4), folded=True)
    drawn = _merged(drawn, _crowds)
    return drawn if len(drawn) <= BOXES else _merged(drawn, _thick, folded=True)


def levels(drawn: Sequence[Box]) -> list[int]:
    """In which column each box is: right of all that it takes, and a first one just left of who takes it."""
    found = [0] * len(drawn)
    for i, box in enumerate(drawn):
        found[i] = max((found[j] + 1 for j in box.inputs), default=0)
    takers = defaultdict(list)
    for i, box in enumerate(drawn):
        for j in box.inputs:
            takers[j].append(found[i])
    return [
        min(takers[i], default=level + 1) - 1 if not drawn[i].inputs else level
        for i, level in enumerate(found)
    ]


def _single(layers: Sequence[Layer]) -> list[Box]:
    """A layer that is called twice may take what comes after it: such ways back are not drawn."""
    place = {layer.name: i for i, layer in reversed([*enumerate(layers)])}
    known = [{place[name] for name in layer.inputs if name in place} for layer in layers]
    return [
        Box((layer,), tuple(sorted(j for j in known[i] if j < i))) for i, layer in enumerate(layers)
    ]


def _merged(drawn: list[Box], labelled: Labelled, *, folded: bool = False) -> list[Box]:
    """Boxes with one label as one box."""
    labels = labelled(drawn)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(labels):
        members[key].append(i)
    takes = {
        key: {labels[j] for i in held for j in drawn[i].inputs} - {key}
        for key, held in members.items()
    }
    order = _in_order(takes, members)
    place = {key: i for i, key in enumerate(order)}
    return [
        _as_one(drawn, members[key], sorted(place[k] for k in takes[key]), folded) for key in order
    ]


def _in_order(
    takes: dict[Hashable, set[Hashable]], members: dict[Hashable, list[int]]
) -> list[Hashable]:
    first = {key: held[0] for key, held in members.items()}
    sorter = TopologicalSorter(
        {key: sorted(before, key=first.__getitem__) for key, before in takes.items()}
    )
    return [*sorter.static_order()]


def _as_one(drawn: Sequence[Box], held: Sequence[int], inputs: Sequence[int], folded: bool) -> Box:
    layers = tuple(layer for i in held for layer in drawn[i].layers)
    return Box(layers, tuple(inputs), folded if len(held) > 1 else drawn[held[0]].folded)


def _alike(drawn: Sequence[Box]) -> list[Hashable]:
    """Layers of one kind and shape that serve one task each and take the same, or what is itself alike."""
    keys: list[int] = []
    # keys are counted: as nested tuples they would grow with every layer
    known: dict[Hashable, int] = {}
    for box in drawn:
        layer = box.layers[0]
        seen = (
            layer.kind,
            tuple(layer.shape),
            len(layer.tasks) == 1,
            tuple(keys[j] for j in box.inputs),
        )
        keys.append(known.setdefault(seen, len(known)))
    sizes: dict[int, int] = defaultdict(int)
    for i, key in enumerate(keys):
        sizes[key] += len(drawn[i].tasks) == 1
    return [
        ("twins", key) if sizes[key] > TWINS and len(drawn[i].tasks) == 1 else i
        for i, key in enumerate(keys)
    ]


def _stretches(drawn: Sequence[Box], longest: int) -> list[Hashable]:
    """The inner boxes of each connected part that serves the same tasks and has more columns than `longest`."""
    at, parts = levels(drawn), _parts(drawn)
    held = defaultdict(list)
    for i, part in enumerate(parts):
        held[part].append(at[i])
    ends = {part: (min(found), max(found)) for part, found in held.items()}
    inner = [ends[part][0] + 1 < at[i] < ends[part][1] - 1 for i, part in enumerate(parts)]
    long = [ends[part][1] - ends[part][0] >= longest for part in parts]
    return [("fold", part) if long[i] and inner[i] else i for i, part in enumerate(parts)]


def _parts(drawn: Sequence[Box]) -> list[int]:
    """For each box the first one that it is connected with by boxes of the same tasks."""
    root = list(range(len(drawn)))

    def top(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, box in enumerate(drawn):
        for j in box.inputs:
            if drawn[j].tasks == box.tasks:
                a, b = sorted((top(i), top(j)))
                root[b] = a
    return [top(i) for i in range(len(drawn))]


def _crowds(drawn: Sequence[Box]) -> list[Hashable]:
    """Of columns with too many boxes the later ones together."""
    at = levels(drawn)
    seen: dict[int, int] = defaultdict(int)
    crowded = {level for level in at if at.count(level) > SIDE_BY_SIDE}
    labels: list[Hashable] = []
    for i, level in enumerate(at):
        seen[level] += 1
        labels.append(("more", level) if level in crowded and seen[level] >= SIDE_BY_SIDE else i)
    return labels


def _thick(drawn: Sequence[Box]) -> list[Hashable]:
    """Slices of neighbouring columns, each as a whole: what is left to do with a network that nobody could follow."""
    at = levels(drawn)
    return [level * SLICES // (max(at) + 1) for level in at]
