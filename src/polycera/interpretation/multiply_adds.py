"""Count the multiply-adds of a layer's call for one row, from its input and output shapes.

The products of matrix multiplications and convolutions are counted, with weights or between two
tensors as in attention. Elementwise work (bias, activation, normalisation, a gate) and lookups are
not counted: they are of a lower order. A convolution is counted at its edges as in its interior. An
unknown layer gives None, never 0.
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
    """Return the multiply-adds of one call for one row.

    None where the layer is not known or a length is not fixed.

    Args:
        operation: a layer or an operation of `keras.ops`.
        node: Keras's node of the call.

    Examples:
        >>> import keras
        >>> x = keras.Input((10,))
        >>> dense = keras.layers.Dense(4)
        >>> from polycera.layers.keras_graph import node_of
        >>> node = node_of(dense(x))
        >>> multiply_adds(dense, node)
        40
    """
    inputs = [tuple(tensor.shape) for tensor in node.input_tensors]
    outputs = [tuple(tensor.shape) for tensor in node.output_tensors]
    if isinstance(operation, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        # Masks are tensors of the node too, so query, value and key are taken by their names.
        inputs = _named(operation, node, ("query", "value", "key"))
    try:
        return of_shapes(operation, inputs, outputs)
    except NotFixed:
        return None


def of_shapes(operation: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Return the multiply-adds for one row of an operation with these input and output shapes.

    None where they are not known.
    """
    kind = type(operation)
    if kind in elementwise.LAYERS or (
        isinstance(operation, TaskLayer) and not isinstance(operation, Heads)
    ):
        return 0
    # LoRA adds two more kernels, which the formulas do not count.
    if getattr(operation, "lora_enabled", False):
        return None
    if formula := WRAPPERS.get(kind, matrix_products.LAYERS.get(kind)):
        return formula(operation, inputs, outputs)
    # A class from elsewhere may have the name of a Keras operation and do something else.
    keras_operation = kind.__module__.split(".")[0] == "keras" and not isinstance(
        operation, keras.layers.Layer
    )
    if keras_operation and kind.__name__ in matrix_products.OPERATIONS:
        return matrix_products.OPERATIONS[kind.__name__](operation, inputs, outputs)
    return 0 if keras_operation and kind.__name__ in elementwise.OPERATIONS else None


def _bidirectional(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    adds = [
        of_shapes(direction, inputs, outputs)
        for direction in (layer.forward_layer, layer.backward_layer)
    ]
    return None if None in adds else sum(count for count in adds if count is not None)


def _distributed(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Count the products of the inner layer, once for each step of the sequence."""
    step_adds = of_shapes(
        layer.layer, *([(shape[0], *shape[2:]) for shape in shapes] for shapes in (inputs, outputs))
    )
    return None if step_adds is None else product(inputs[0][1:2]) * step_adds


def _inner_model(model: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    """Return the sum over the layers of a sequential model within a model."""
    shapes, total = list(inputs), 0
    for layer in model.layers:
        output_shapes = [tuple(layer.compute_output_shape(shapes[0]))]
        layer_adds = of_shapes(layer, shapes, output_shapes)
        if layer_adds is None:
            return None
        shapes, total = output_shapes, total + layer_adds
    return total


def _named(layer: Any, node: Any, names: Sequence[str]) -> list[Shape]:
    """Return the shapes of the arguments with these names, where they were passed."""
    arguments = (
        inspect.signature(layer.call).bind(*node.arguments.args, **node.arguments.kwargs).arguments
    )
    return [tuple(arguments[name].shape) for name in names if arguments.get(name) is not None]


WRAPPERS: dict[type, Formula] = {
    keras.layers.Bidirectional: _bidirectional,
    keras.layers.TimeDistributed: _distributed,
    keras.Sequential: _inner_model,
}
"""Formulas of layers that wrap other layers."""
