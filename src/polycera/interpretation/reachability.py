"""Find which tasks each call of a network serves, and which tasks' gradients reach it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import keras

from polycera.errors import InputError, UnknownName
from polycera.layers.adopted_outputs import named_outputs
from polycera.layers.call_graph import Call, Graph, Key
from polycera.layers.heads import Heads, TaskLayer
from polycera.tasks import Layout
from polycera.typing import TaskName

CUT = "StopGradient"
"""This is the class name of the operation that gradients do not pass."""


@dataclass(frozen=True)
class Reachability:
    """Hold the calls of a network with the tasks of each as a bit mask: bit i is the i-th task.

    Attributes:
        tasks: name -> its bit.
        graph: the calls.
        serving: call -> the tasks whose outputs it contributes to.
        teaching: call -> the tasks whose gradients reach it.
        entering: input of the network -> the tasks whose outputs it contributes to.
        has_task_layers: whether the tasks are those of layers that end in tasks; else they are
            named outputs.
    """

    tasks: dict[TaskName, int]
    graph: Graph
    serving: dict[Call, int]
    teaching: dict[Call, int]
    entering: dict[Key, int]
    has_task_layers: bool

    @classmethod
    def of(cls, model: Any, tasks: Collection[TaskName] | None = None) -> Reachability:
        """Return the reachability of a functional or sequential model.

        Args:
            model: a polycera model, or one with named outputs, each of which is then a task.
            tasks: names of the tasks to look at; None for all.

        Raises:
            InputError: for a model whose layers cannot be seen.
            UnknownName: for a task that the model does not have.
        """
        _check_functional(model)
        layout = getattr(model, "layout", None)
        ends = None if isinstance(layout, Layout) else _ends(model)
        names = list(layout.tasks if ends is None else ends)  # type: ignore[union-attr]
        for name in tasks or ():
            if name not in names:
                raise UnknownName("task", name, names)
        bits = {
            name: 1 << i for i, name in enumerate(n for n in names if tasks is None or n in tasks)
        }
        graph = Graph.of(model)
        output_tasks = dict.fromkeys(graph.outputs, _all(bits.values()))
        if ends is not None:
            output_tasks = _tasks_of_outputs(model, graph, ends, bits)
        serving, entering = _back(graph, output_tasks, bits, ends is None, cut=False)
        teaching, _ = _back(graph, output_tasks, bits, ends is None, cut=True)
        return cls(bits, graph, serving, teaching, entering, ends is None)


def _check_functional(model: Any) -> None:
    """Raise an InputError for a model without a graph of layers."""
    if not isinstance(model, keras.Model):
        raise InputError(
            f"Expected a keras.Model, got {type(model).__name__}; of a run: "
            "pc.describe_network(run.model), or polycera describe-network RUN."
        )
    if not getattr(model, "outputs", None):
        raise InputError(
            f"The layers of {type(model).__name__} {model.name!r} cannot be inspected: this needs "
            "a functional or sequential model that begins with keras.Input, not a subclassed one."
        )


def _ends(model: keras.Model) -> dict[TaskName, Any]:
    """Return the tensor of each named output."""
    ends = named_outputs(model)
    nested = [
        name for name, tensor in ends.items() if id(tensor) not in set(map(id, model.outputs))
    ]
    if nested:
        raise InputError(f"The output {nested[0]!r} holds several tensors; give each its own name.")
    return ends


def _tasks_of_outputs(
    model: Any, graph: Graph, ends: Mapping[TaskName, Any], bits: Mapping[TaskName, int]
) -> dict[Key, int]:
    """Return the tasks of each output; an output without a name serves none."""
    keys = {id(tensor): key for tensor, key in zip(model.outputs, graph.outputs, strict=True)}
    tasks_by_output = dict.fromkeys(graph.outputs, 0)
    for name, tensor in ends.items():
        tasks_by_output[keys[id(tensor)]] |= bits.get(name, 0)
    return tasks_by_output


def _back(
    graph: Graph,
    output_tasks: Mapping[Key, int],
    bits: Mapping[TaskName, int],
    has_task_layers: bool,
    cut: bool,
) -> tuple[dict[Call, int], dict[Key, int]]:
    """Walk from the outputs back to the inputs; return the tasks of each call and of each input.

    Args:
        graph: the calls.
        output_tasks: the tasks of each output.
        bits: task name -> its bit.
        has_task_layers: whether layers that end in tasks define the tasks; else the outputs do.
        cut: whether to stop where no gradient passes.
    """
    tasks_by_call: dict[Call, int] = {}
    tasks_by_tensor = dict(output_tasks)
    # In reversed order all calls that use a tensor come before the call that makes it.
    for call in reversed(graph.calls):
        tasks = _all(tasks_by_tensor.get(key, 0) for key in call.outputs)
        if has_task_layers and isinstance(call.operation, TaskLayer):
            tasks = _all(bits.get(name, 0) for name in call.operation.layout.tasks)
        tasks_by_call[call] = tasks
        if not (cut and type(call.operation).__name__ == CUT):
            for key, mask in zip(
                call.inputs, _tasks_of_inputs(call, tasks, bits, has_task_layers), strict=True
            ):
                tasks_by_tensor[key] = tasks_by_tensor.get(key, 0) | mask
    return tasks_by_call, {key: tasks_by_tensor.get(key, 0) for key in graph.inputs}


def _tasks_of_inputs(
    call: Call, tasks: int, bits: Mapping[TaskName, int], has_task_layers: bool
) -> list[int]:
    """Return the tasks for which a call uses each of its inputs.

    A layer for outputs of someone's own heads has one input for each task.
    """
    if (
        has_task_layers
        and isinstance(call.operation, TaskLayer)
        and not isinstance(call.operation, Heads)
    ):
        return [bits.get(name, 0) for name in call.operation.layout.tasks]
    return [tasks] * len(call.inputs)


def _all(masks: Any) -> int:
    """Return the union of bit masks."""
    return reduce(or_, masks, 0)
