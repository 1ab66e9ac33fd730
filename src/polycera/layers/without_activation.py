"""Make layers without their activation, on the same weights.

They give the logits behind a sigmoid or a softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from polycera.layers import keras_graph

POSSIBLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
"""Lists the layers whose activation is the last operation.

Exactly these classes count: a class that inherits from one of them may do more.
"""


class Twins:
    """Make linear copies of layers, on the same weights.

    Each copy is made once, and called once for each call of the original layer.

    A probability that has reached 0 or 1 passes no gradient, so a head that once saturated never
    learns again. Its logits always pass a gradient.

    Attributes:
        originals: id of a layer -> the layer, for each layer that has a copy.
    """

    def __init__(self) -> None:
        self._twins: dict[int, Any] = {}
        self._calls: dict[int, Any] = {}
        self.originals: dict[int, Any] = {}

    def possible(self, layer: Any) -> bool:
        """Return whether the layer without its activation is otherwise the same layer."""
        return type(layer) in POSSIBLE and layer.built and layer.activity_regularizer is None

    def twin_of(self, layer: Any) -> Any:
        """Return the linear copy of a layer that was called."""
        return self._twins[id(layer)]

    def called(self, layer: Any, node: Any) -> Any:
        """Return the input of a layer's activation, in one of its calls."""
        if id(node) not in self._calls:
            if id(layer) not in self._twins:
                self._twins[id(layer)] = linear_twin(layer)
                self.originals[id(layer)] = layer
            twin = self._twins[id(layer)]
            self._calls[id(node)] = twin(*node.arguments.args, **node.arguments.kwargs)
        return self._calls[id(node)]


def linear_twin(layer: Any) -> Any:
    """Return a linear layer of the same class and name, with the same variables.

    The variables are the very objects of the layer, so that training one trains the other.
    `copy.copy` is not used: it writes a Keras layer into a file and reads it back, with variables
    of its own.
    """
    kind: Any = type(layer)
    twin = kind.__new__(kind)
    twin.__dict__.update(layer.__dict__)
    # The copy has calls of its own, and must not appear in those of the original.
    keras_graph.forget_calls(twin)
    twin.__dict__.update(activation=keras.activations.linear)
    return twin


def called_again(node: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return the outputs of an operation, called again with other tensors as inputs."""
    replacements = {id(old): new for old, new in zip(node.input_tensors, inputs, strict=True)}
    args, kwargs = node.arguments.fill_in(replacements)
    return keras.tree.flatten(node.operation(*args, **kwargs))


def reached(tensors: Iterable[Any]) -> dict[int, Any]:
    """Return all layers and operations that lead to some tensors, by their ids.

    Those inside inner models are included.
    """
    operations: dict[int, Any] = {}
    seen_nodes: set[int] = set()
    waiting = list(tensors)
    while waiting:
        node = keras_graph.node_of(waiting.pop())
        if id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        _add(node.operation, operations)
        waiting += node.input_tensors
    return operations


def _add(operation: Any, operations: dict[int, Any]) -> None:
    """Add an operation and all layers within it to `operations`."""
    waiting = [operation]
    while waiting:
        inner = waiting.pop()
        if id(inner) not in operations:
            operations[id(inner)] = inner
            waiting += keras_graph.inner_layers(inner)
