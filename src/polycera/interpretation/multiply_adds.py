"""How many multiply-adds a call of a layer takes for one row, from the shapes that go in and come out.

Counted are the products of matrix multiplications and convolutions, with weights or of two tensors
as in attention. What is done element by element (bias, activation, normalisation, a gate) and
lookups count nothing: they are of a lower order. A convolution is counted at its edges as inside. A
    layer that is not known here gives None, never 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras

from polycera.interpretation import matrix_products
from polycera.interpretation.matrix_products import Formula, NotFixed, Shape, product
from polycera.layers import elementwise
from polycera.layers.heads import Heads, TaskLayer


def multiply_adds(operation: Any, node: Any) -> int | None:
    """Multiply-adds of one call for one row; None where the layer is not known, or a length is not fixed.

    Args:
        operation: a layer or an operation of `keras.ops`.
        node: Keras's note of the call.

    Examples:
        >>> import keras
        >>> x = keras.Input((10,))
        >>> dense = keras.layers.Dense(4)
        >>> node = dense(x)._keras_history.operation._inbound_nodes[0]
        >>> multiply_adds(dense, node)
        40
    """
    inputs = [tuple(tensor.shape) for tensor in node.input_tensors]
    outputs = [tuple(tensor.shape) for tensor in node.output_tensors]
    if isinstance(operation, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        inputs = _named(operation, node, ("query", "value", "key"))
    try:
        return of_shapes(operation, inputs, outputs)
    except NotFixed:
        return None


def of_shapes(operation: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Multiply-adds for one row of what takes and gives tensors of these shapes; None where it is not known."""
    kind = type(operation)
    if kind in elementwise.LAYERS or (
        isinstance(operation, TaskLayer) and not isinstance(operation, Heads)
    ):
        return 0
    if getattr(operation, "lora_enabled", False):
        return None
    if formula := WRAPPERS.get(kind, matrix_products.LAYERS.get(kind)):
        return formula(operation, inputs, outputs)
    own = kind.__module__.split(".")[0] == "keras" and not isinstance(operation, keras.layers.Layer)
    if own and kind.__name__ in matrix_products.OPERATIONS:
        return matrix_products.OPERATIONS[kind.__name__](operation, inputs, outputs)
    return 0 if own and kind.__name__ in elementwise.OPERATIONS else None


def _bidirectional(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    both = [
        of_shapes(each, inputs, outputs) for each in (layer.forward_layer, layer.backward_layer)
    ]
    return None if None in both else sum(each for each in both if each is not None)


def _distributed(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    each = of_shapes(
        layer.layer, *([(s[0], *s[2:]) for s in shapes] for shapes in (inputs, outputs))
    )
    return None if each is None else product(inputs[0][1:2]) * each


def _inner_model(model: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Of a sequential model within a model: what its layers take together."""
    shape, total = list(inputs), 0
    for layer in model.layers:
        given = [tuple(layer.compute_output_shape(shape[0]))]
        each = of_shapes(layer, shape, given)
        if each is None:
            return None
        shape, total = given, total + each
    return total


def _named(layer: Any, node: Any, names: Sequence[str]) -> list[Shape]:
    """Shapes of the arguments of these names, as far as they are given."""
    given = (
        inspect.signature(layer.call).bind(*node.arguments.args, **node.arguments.kwargs).arguments
    )
    return [tuple(given[name].shape) for name in names if given.get(name) is not None]


WRAPPERS: dict[type, Formula] = {
    keras.layers.Bidirectional: _bidirectional,
    keras.layers.TimeDistributed: _distributed,
    keras.Sequential: _inner_model,
}
"""Layers around layers."""
