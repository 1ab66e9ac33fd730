"""The layers of a functional model that two tasks or more share: where their gradients meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from polycera.errors import shorten
from polycera.layers.graph import Graph
from polycera.layers.heads import TaskLayer
from polycera.layers.unique_names import unique_names
from polycera.tasks import Layout
from polycera.typing import TaskName


@dataclass(frozen=True)
class SharedLayer:
    """A layer that several tasks share.

    Attributes:
        name: of the layer; those of one name are numbered.
        tasks: whom it serves, by their place among all.
        variables: its weights that train.
    """

    name: str
    tasks: tuple[int, ...]
    variables: tuple[Any, ...]


def shared_layers(graph: Graph, layout: Layout, own: bool = False) -> list[SharedLayer]:
    """Return the layers with weights that train and that two or more tasks share, in the order of their calls.

    Args:
        graph: of the model.
        layout: its tasks.
        own: whether layers of a single task, and heads, are wanted too, as far as two or more loss
            terms meet there.

    A layer that is called twice serves the tasks of both calls. Heads belong to one task each,
    fused or not.
    """
    layers: dict[int, Any] = {}
    serving: dict[int, frozenset[TaskName]] = {}
    served = graph.served()
    for call in graph.calls:
        layer = call.operation
        if (own or not isinstance(layer, TaskLayer)) and _weights(layer):
            layers[id(layer)] = layer
            serving[id(layer)] = serving.get(id(layer), frozenset()) | served[call]
    terms = {name: len(task.terms) if own else 1 for name, task in layout.tasks.items()}
    shared = [
        layers[key] for key, tasks in serving.items() if sum(terms[task] for task in tasks) > 1
    ]
    names = unique_names([layer.name for layer in shared])
    numbers = {name: i for i, name in enumerate(layout.tasks)}
    return [
        SharedLayer(
            name, tuple(sorted(numbers[task] for task in serving[id(layer)])), _weights(layer)
        )
        for name, layer in zip(names, shared, strict=True)
    ]


def region_names(model: Any, layout: Layout, regions: list[tuple[int, ...]]) -> list[str]:
    """What to call the parts of a model in which these tasks meet: "trunk" where it is one, else by its layers."""
    if len(regions) == 1:
        return ["trunk"]
    found, shared = [], shared_layers(Graph.of(model), layout)
    for tasks in regions:
        own = [place.name for place in shared if place.tasks == tuple(tasks)]
        found.append("trunk" if not own else own[0] if len(own) == 1 else f"{own[0]} … {own[-1]}")
    return unique_names([shorten(name, 100) for name in found])


def _weights(layer: Any) -> tuple[Any, ...]:
    own = getattr(layer, "trainable_variables", ())
    return tuple(variable for variable in own if not variable.overwrite_with_gradient)
