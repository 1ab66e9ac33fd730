"""Count the multiply-adds of layers that multiply matrices, from input and output shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras

from polycera.layers.embedding import PiecewiseLinear
from polycera.layers.heads import Heads
from polycera.layers.kernel_layer import Landmarks
from polycera.layers.side_by_side import MemberDense

Shape: TypeAlias = tuple[int | None, ...]
"""The shape of a tensor has its rows first; None stands for a length that is not fixed."""
Formula: TypeAlias = Callable[[Any, Sequence[Shape], Sequence[Shape]], int | None]
"""A formula counts the products of a layer for one row.

It takes the layer, the shapes of its inputs and the shapes of its outputs; it returns None where
the products are not known.
"""


class NotFixed(Exception):
    """Raised where a length in a shape is None."""


def product(lengths: Sequence[int | None]) -> int:
    """Return the product of the lengths of some axes.

    Raises:
        NotFixed: where one of them is None.
    """
    if None in lengths:
        raise NotFixed
    return math.prod(length for length in lengths if length is not None)


def _weights(*variables: Any) -> int:
    """Return the number of weights of some variables."""
    return sum(math.prod(variable.shape) for variable in variables)


def _heads(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return product(inputs[0][1:]) * layer.layout.units


def _piecewise(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _weights(layer.kernel)


def _members(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _weights(layer.kernel)


def _landmarks(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Count the distances to the landmarks and the sums over them."""
    return (layer.used or layer.count) * (product(inputs[0][1:]) + layer.units)


def _dense(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return product(inputs[0][1:]) * layer.units


def _einsum_dense(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    return _einsum(layer.equation, [inputs[0], tuple(layer.kernel.shape)])


def _einsum(equation: str, shapes: Sequence[Shape]) -> int | None:
    """Count a product for each combination of all indices of two operands.

    The first index of the first operand stands for the rows and is left out. None where there are
    not two operands.
    """
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or len(shapes) != 2:
        return None
    lengths: dict[str, int | None] = {}
    for term, shape in zip(terms, shapes, strict=True):
        lengths |= zip(_spread(term, len(shape)), shape, strict=True)
    rows = _spread(terms[0], len(shapes[0]))[0]
    return product([length for index, length in lengths.items() if index != rows])


def _spread(term: str, rank: int) -> list[str]:
    """Return the indices of an operand, one for each axis.

    `...` stands for as many axes as are left; they are numbered from the right, as in broadcasting.
    """
    before, dots, after = term.partition("...")
    left = rank - len(before) - len(after)
    return [*before, *(f".{left - i}" for i in range(left) if dots), *after]


def _convolution(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _positions(layer, outputs[0]) * _weights(layer.kernel)


def _separable(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _positions(layer, outputs[0]) * _weights(layer.depthwise_kernel, layer.pointwise_kernel)


def _transposed(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Count the products of a transposed convolution: its kernel is applied at each input."""
    return _positions(layer, inputs[0]) * _weights(layer.kernel)


def _positions(layer: Any, shape: Shape) -> int:
    """Return the number of positions at which the kernel is applied."""
    return product(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])


def _recurrent(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    cells = getattr(layer.cell, "cells", [layer.cell])
    if not all(type(cell) in CELLS for cell in cells):
        return None
    return product(inputs[0][1:2]) * sum(
        _weights(cell.kernel, cell.recurrent_kernel) for cell in cells
    )


def _multi_head(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    if len(inputs[0]) != 3:  # attention over several axes is not counted
        return None
    value_size = layer.value_dim or layer.key_dim
    return _attention(
        inputs, outputs[0], layer.num_heads, layer.num_heads, layer.key_dim, value_size
    )


def _grouped(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    return _attention(
        inputs,
        outputs[0],
        layer.num_query_heads,
        layer.num_key_value_heads,
        layer.head_dim,
        layer.head_dim,
    )


def _attention(
    inputs: Sequence[Shape],
    output: Shape,
    heads: int,
    value_heads: int,
    key_size: int,
    value_size: int,
) -> int:
    """Count projections of query, key, value; scores; weighted values; the output projection."""
    # Keras passes query, value, key; where the key is left out it is the value.
    query, value, key = (inputs[0], inputs[1], inputs[-1])
    queries, values = product(query[1:2]), product(value[1:2])
    projected = product(query[1:]) * heads * key_size + product(key[1:]) * value_heads * key_size
    projected += product(value[1:]) * value_heads * value_size
    return projected + queries * heads * (
        values * (key_size + value_size) + value_size * product(output[-1:])
    )


def _dot_attention(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    if layer.score_mode != "dot":
        return None
    query, value = inputs[0], inputs[1]
    return product(query[1:2]) * (product(value[1:2]) * product(query[2:]) + product(value[1:]))


def _dot(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return product(outputs[0][1:]) * product([inputs[0][axis]])


def _matmul(operation: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int | None:
    if len(inputs) != 2:  # one of the two is a constant, and its shape is not known
        return None
    return product(outputs[0][1:]) * product(inputs[0][-1:])


def _einsum_operation(
    operation: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int | None:
    return _einsum(operation.subscripts, inputs)


layers = keras.layers
CELLS = (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell)
"""Recurrent layers are counted for these cells only."""

LAYERS: dict[type, Formula] = {
    Heads: _heads,
    PiecewiseLinear: _piecewise,
    Landmarks: _landmarks,
    MemberDense: _members,
    layers.Dense: _dense,
    layers.EinsumDense: _einsum_dense,
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _convolution),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D), _convolution),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys(
        (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed
    ),
    **dict.fromkeys((layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN), _recurrent),
    layers.MultiHeadAttention: _multi_head,
    layers.GroupQueryAttention: _grouped,
    layers.Attention: _dot_attention,
    layers.Dot: _dot,
}
"""Formulas by type of layer."""

OPERATIONS: dict[str, Formula] = {"Matmul": _matmul, "Einsum": _einsum_operation}
"""Formulas by class name of an operation of `keras.ops`."""
