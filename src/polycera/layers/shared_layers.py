"""Find the layers of a functional model that two or more tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from polycera.errors import shorten
from polycera.layers.call_graph import Graph
from polycera.layers.heads import TaskLayer
from polycera.layers.unique_names import unique_names
from polycera.tasks import Layout
from polycera.typing import TaskName


@dataclass(frozen=True)
class SharedLayer:
    """Describes a layer that several tasks share.

    Attributes:
        name: of the layer; layers with the same name are numbered.
        tasks: the positions of its tasks among all tasks.
        variables: its weights that train.
    """

    name: str
    tasks: tuple[int, ...]
    variables: tuple[Any, ...]


def shared_layers(graph: Graph, layout: Layout, single_task: bool = False) -> list[SharedLayer]:
    """Return the layers with trainable weights that two or more tasks share.

    They are in the order of their calls.

    Args:
        graph: of the model.
        layout: its tasks.
        single_task: whether layers of a single task, and heads, are included too, where they serve
            two or more loss terms.

    A layer that is called twice serves the tasks of both calls. Heads belong to one task each,
    whether they are fused or not.
    """
    layers: dict[int, Any] = {}
    serving: dict[int, frozenset[TaskName]] = {}
    served = graph.served()
    for call in graph.calls:
        layer = call.operation
        if (single_task or not isinstance(layer, TaskLayer)) and _weights(layer):
            layers[id(layer)] = layer
            serving[id(layer)] = serving.get(id(layer), frozenset()) | served[call]
    terms = {name: len(task.terms) if single_task else 1 for name, task in layout.tasks.items()}
    shared = [
        layers[key] for key, tasks in serving.items() if sum(terms[task] for task in tasks) > 1
    ]
    names = unique_names([layer.name for layer in shared])
    positions = {name: i for i, name in enumerate(layout.tasks)}
    return [
        SharedLayer(
            name, tuple(sorted(positions[task] for task in serving[id(layer)])), _weights(layer)
        )
        for name, layer in zip(names, shared, strict=True)
    ]


def region_names(model: Any, layout: Layout, regions: list[tuple[int, ...]]) -> list[str]:
    """Return names for the shared regions of these tasks.

    "trunk" if there is one region; else the names of its first and last layer.
    """
    if len(regions) == 1:
        return ["trunk"]
    names, shared = [], shared_layers(Graph.of(model), layout)
    for tasks in regions:
        layer_names = [layer.name for layer in shared if layer.tasks == tuple(tasks)]
        names.append(
            "trunk"
            if not layer_names
            else layer_names[0]
            if len(layer_names) == 1
            else f"{layer_names[0]} … {layer_names[-1]}"
        )
    return unique_names([shorten(name, 100) for name in names])


def _weights(layer: Any) -> tuple[Any, ...]:
    """Return the weights of a layer that train; state of a method is not among them."""
    variables = getattr(layer, "trainable_variables", ())
    return tuple(variable for variable in variables if not variable.overwrite_with_gradient)
