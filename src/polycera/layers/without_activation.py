"""Layers without their activation, on the same weights: what gives the logits behind a sigmoid or a softmax."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras

POSSIBLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)
"""Layers whose activation is the last thing that they do; exactly these, for what inherits from one may do more."""


class Twins:
    """Layers as they are, but linear. Each is made once, and called once for each call of the layer it is made from.

    A probability that has reached 0 or 1 passes no gradient, so a head that once saturated never
    learns again. Its logits always do.
    """

    def __init__(self) -> None:
        self._twins: dict[int, Any] = {}
        self._calls: dict[int, Any] = {}
        self.originals: dict[int, Any] = {}

    def possible(self, layer: Any) -> bool:
        """Whether a layer without its activation is the same layer otherwise."""
        return type(layer) in POSSIBLE and layer.built and layer.activity_regularizer is None

    def twin_of(self, layer: Any) -> Any:
        """Return the twin of a layer that was called."""
        return self._twins[id(layer)]

    def called(self, layer: Any, node: Any) -> Any:
        """Return what goes into the activation of a layer, in one of its calls."""
        if id(node) not in self._calls:
            if id(layer) not in self._twins:
                self._twins[id(layer)] = linear_twin(layer)
                self.originals[id(layer)] = layer
            twin = self._twins[id(layer)]
            self._calls[id(node)] = twin(*node.arguments.args, **node.arguments.kwargs)
        return self._calls[id(node)]


def linear_twin(layer: Any) -> Any:
    """Return a layer of the same class, name and variables that ends linear.

    The variables are the very objects of the layer, so that training one trains the other. It is
    not made by `copy.copy`, which writes a layer of Keras into a file and reads it back, with
    variables of its own.
    """
    kind: Any = type(layer)
    twin = kind.__new__(kind)
    twin.__dict__.update(layer.__dict__)
    twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[], activation=keras.activations.linear)
    return twin


def made_again(node: Any, given: Sequence[Any]) -> list[Any]:
    """Return what the call of an operation gives, made again with other tensors in place of its own."""
    instead = {id(old): new for old, new in zip(node.input_tensors, given, strict=True)}
    args, kwargs = node.arguments.fill_in(instead)
    return keras.tree.flatten(node.operation(*args, **kwargs))


def reached(tensors: Iterable[Any]) -> dict[int, Any]:
    """Return all layers and operations that lead to some tensors, those within models included, by their ids."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = list(tensors)
    while waiting:
        history = waiting.pop()._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in seen:
            continue
        seen.add(id(node))
        _add(history.operation, found)
        waiting += node.input_tensors
    return found


def _add(operation: Any, found: dict[int, Any]) -> None:
    waiting = [operation]
    while waiting:
        each = waiting.pop()
        if id(each) not in found:
            found[id(each)] = each
            waiting += getattr(each, "_layers", ())
