"""Read a functional model as a list of calls, and find the tasks that each call serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras

from polycera.layers import keras_graph
from polycera.layers.heads import Heads, TaskLayer
from polycera.typing import TaskName, Tensor

Key: TypeAlias = tuple[int, int]
"""Identifies a tensor of the graph: (scope, id of Keras's tensor).

The scope is the number of the call of a model within the model; 0 for the model itself.
"""


@dataclass(frozen=True)
class Call:
    """Holds one call of a layer or operation.

    Attributes:
        operation: the layer or operation.
        node: Keras's record of the call.
        scope: the number of the inner model's call in which it happens; 0 for the model itself.
        inputs, outputs: the tensors.
    """

    operation: Any
    node: Any
    scope: int
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]

    def __hash__(self) -> int:
        return hash((self.scope, id(self.node)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and (self.scope, self.node) == (other.scope, other.node)


@dataclass
class Graph:
    """Holds the calls of a functional model in their order, those of inner models included.

    Attributes:
        inputs, outputs: its tensors.
        calls: in an order in which they can be made.
    """

    inputs: list[Key]
    outputs: list[Key] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _scopes: int = 0

    @classmethod
    def of(cls, model: keras.Model) -> Graph:
        """Return the graph of a functional model."""
        graph = cls([(0, id(tensor)) for tensor in model.inputs])
        known = dict(zip(map(id, model.inputs), graph.inputs, strict=True))
        graph._add(model, 0, known)
        graph.outputs = [known[id(tensor)] for tensor in model.outputs]
        return graph

    def _add(self, model: Any, scope: int, known: dict[int, Key]) -> None:
        """Add the calls of a model, given the keys of its inputs; add its tensors to `known`."""
        for tensor in model.outputs:
            self._reach(tensor, scope, known)

    def _reach(self, tensor: Any, scope: int, known: dict[int, Key]) -> None:
        """Add all calls that lead to a tensor, the first ones first.

        It uses no recursion, because networks may be deeper than Python's limit.
        """
        waiting = [tensor]
        while waiting:
            tensor = waiting[-1]
            if id(tensor) in known:
                waiting.pop()
                continue
            node = keras_graph.node_of(tensor)
            missing = [t for t in node.input_tensors if id(t) not in known]
            if missing:
                waiting += missing
            else:
                self._call(node.operation, node, scope, known)

    def _call(self, operation: Any, node: Any, scope: int, known: dict[int, Key]) -> None:
        """Add one call; for an inner functional model add the calls inside it."""
        inputs = tuple(known[id(tensor)] for tensor in node.input_tensors)
        if _is_functional(operation) and len(inputs) == len(operation.inputs):
            # One inner model may be called several times: each call gets keys of its own.
            self._scopes += 1
            inner = dict(zip(map(id, operation.inputs), inputs, strict=True))
            self._add(operation, self._scopes, inner)
            known |= {
                id(outer): inner[id(inside)]
                for outer, inside in zip(node.output_tensors, operation.outputs, strict=True)
            }
            return
        outputs = tuple((scope, id(tensor)) for tensor in node.output_tensors)
        known |= dict(zip(map(id, node.output_tensors), outputs, strict=True))
        self.calls.append(Call(operation, node, scope, inputs, outputs))

    def run(
        self,
        inputs: Sequence[Tensor],
        passing: Callable[[Key, Tensor], Tensor],
        instead: Mapping[Call, Callable[[Tensor], Tensor]],
    ) -> list[Tensor]:
        """Make the calls, as `keras.Model` does while training, and return the outputs.

        Args:
            inputs: one tensor for each input of the model.
            passing: returns the tensor to use in place of each tensor that a call has computed.
            instead: functions to call in place of some layers with one input.
        """
        values = dict(zip(self.inputs, inputs, strict=True))
        for call in self.calls:
            values_by_id = {
                id(t): values[key]
                for t, key in zip(call.node.input_tensors, call.inputs, strict=True)
            }
            args, kwargs = call.node.arguments.fill_in(values_by_id)
            if keras_graph.takes_training(call.operation):
                # Some layers ignore the `training` of the call around them.
                kwargs["training"] = True
            replacement = instead.get(call)
            outputs = (
                [replacement(args[0])]
                if replacement
                else keras.tree.flatten(call.operation(*args, **kwargs))
            )
            values |= {
                key: passing(key, value) for key, value in zip(call.outputs, outputs, strict=True)
            }
        return [values[key] for key in self.outputs]

    def shape_of(self, key: Key) -> tuple[int | None, ...]:
        """Return the shape of a tensor that a call computes."""
        for call in self.calls:
            if key in call.outputs:
                return tuple(call.node.output_tensors[call.outputs.index(key)].shape)
        raise KeyError(key)

    def served(self) -> dict[Call, frozenset[TaskName]]:
        """Return the tasks that each call serves.

        A layer that ends in tasks serves its own tasks.
        """
        tasks_of_tensor: dict[Key, frozenset[TaskName]] = {}
        served_tasks: dict[Call, frozenset[TaskName]] = {}
        # From the outputs back: a call serves the tasks of all calls that use its outputs.
        for call in reversed(self.calls):
            call_tasks = frozenset().union(
                *(tasks_of_tensor.get(key, frozenset()) for key in call.outputs)
            )
            if isinstance(call.operation, TaskLayer):
                call_tasks = frozenset(call.operation.layout.tasks)
            served_tasks[call] = call_tasks
            for key, tasks in _tasks_of_inputs(call, call_tasks).items():
                tasks_of_tensor[key] = tasks_of_tensor.get(key, frozenset()) | tasks
        return served_tasks


def _tasks_of_inputs(
    call: Call, call_tasks: frozenset[TaskName]
) -> Mapping[Key, frozenset[TaskName]]:
    """Return the tasks that each input of a call serves.

    Each input of `Outputs` is one task's own output, so it serves that task alone.
    """
    if isinstance(call.operation, TaskLayer) and not isinstance(call.operation, Heads):
        tasks_of_input: dict[Key, frozenset[TaskName]] = {}
        for key, name in zip(call.inputs, call.operation.layout.tasks, strict=True):
            tasks_of_input[key] = tasks_of_input.get(key, frozenset()) | {name}
        return tasks_of_input
    return dict.fromkeys(call.inputs, call_tasks)


def _is_functional(operation: Any) -> bool:
    """Return whether an operation is an inner model that does nothing but make its calls."""
    return isinstance(operation, keras.Model) and type(operation).__name__ == "Functional"
