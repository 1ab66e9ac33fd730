"""A functional model as a list of calls, and which tasks each call serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras

from polycera.layers.heads import Heads, TaskLayer
from polycera.typing import TaskName, Tensor

Key: TypeAlias = tuple[int, int]
"""A tensor of the graph: in which call of which model, and which one."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        operation: what is called.
        node: Keras's own note of the call.
        scope: in which call of a model within the model it happens.
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
    """The calls of a functional model in their order; functional models within it are taken apart.

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
        """The graph of a functional model."""
        graph = cls([(0, id(tensor)) for tensor in model.inputs])
        known = dict(zip(map(id, model.inputs), graph.inputs, strict=True))
        graph._add(model, 0, known)
        graph.outputs = [known[id(tensor)] for tensor in model.outputs]
        return graph

    def _add(self, model: Any, scope: int, known: dict[int, Key]) -> None:
        """The calls of a model, given the keys of its inputs; adds those of all that it computes."""
        for tensor in model.outputs:
            self._reach(tensor, scope, known)

    def _reach(self, tensor: Any, scope: int, known: dict[int, Key]) -> None:
        """Add all calls that lead to a tensor, the first ones first, without recursion: networks are deep."""
        waiting = [tensor]
        while waiting:
            tensor = waiting[-1]
            if id(tensor) in known:
                waiting.pop()
                continue
            history = tensor._keras_history
            node = history.operation._inbound_nodes[history.node_index]
            missing = [t for t in node.input_tensors if id(t) not in known]
            if missing:
                waiting += missing
            else:
                self._call(history.operation, node, scope, known)

    def _call(self, operation: Any, node: Any, scope: int, known: dict[int, Key]) -> None:
        inputs = tuple(known[id(tensor)] for tensor in node.input_tensors)
        if _is_functional(operation) and len(inputs) == len(operation.inputs):
            self._scopes += 1
            inner = dict(zip(map(id, operation.inputs), inputs, strict=True))
            self._add(operation, self._scopes, inner)
            known |= {
                id(outer): inner[id(own)]
                for outer, own in zip(node.output_tensors, operation.outputs, strict=True)
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
        """Make the calls, as `keras.Model` does while training.

        Args:
            inputs: as many as the model takes.
            passing: what goes on in place of each tensor that a call has made.
            instead: what is called in place of some layers of one input.
        """
        values = dict(zip(self.inputs, inputs, strict=True))
        for call in self.calls:
            given = {
                id(t): values[key]
                for t, key in zip(call.node.input_tensors, call.inputs, strict=True)
            }
            args, kwargs = call.node.arguments.fill_in(given)
            if "training" in getattr(call.operation, "_call_context_args", ()):
                kwargs["training"] = True  # some layers do not look at the call around them
            calling = instead.get(call)
            made = (
                [calling(args[0])]
                if calling
                else keras.tree.flatten(call.operation(*args, **kwargs))
            )
            values |= {
                key: passing(key, value) for key, value in zip(call.outputs, made, strict=True)
            }
        return [values[key] for key in self.outputs]

    def shape_of(self, key: Key) -> tuple[int | None, ...]:
        """The shape of a tensor that a call makes."""
        for call in self.calls:
            if key in call.outputs:
                return tuple(call.node.output_tensors[call.outputs.index(key)].shape)
        raise KeyError(key)

    def served(self) -> dict[Call, frozenset[TaskName]]:
        """The tasks that each call serves; layers that end in tasks serve those."""
        wanted: dict[Key, frozenset[TaskName]] = {}
        found: dict[Call, frozenset[TaskName]] = {}
        for call in reversed(self.calls):
            own = frozenset().union(*(wanted.get(key, frozenset()) for key in call.outputs))
            if isinstance(call.operation, TaskLayer):
                own = frozenset(call.operation.layout.tasks)
            found[call] = own
            for key, tasks in _asked(call, own).items():
                wanted[key] = wanted.get(key, frozenset()) | tasks
        return found


def _asked(call: Call, own: frozenset[TaskName]) -> Mapping[Key, frozenset[TaskName]]:
    """The tasks for which a call takes each of its inputs: for the outputs of someone's own heads, one each."""
    if isinstance(call.operation, TaskLayer) and not isinstance(call.operation, Heads):
        found: dict[Key, frozenset[TaskName]] = {}
        for key, name in zip(call.inputs, call.operation.layout.tasks, strict=True):
            found[key] = found.get(key, frozenset()) | {name}
        return found
    return dict.fromkeys(call.inputs, own)


def _is_functional(operation: Any) -> bool:
    """A model within the model that does nothing but make its calls."""
    return isinstance(operation, keras.Model) and type(operation).__name__ == "Functional"
