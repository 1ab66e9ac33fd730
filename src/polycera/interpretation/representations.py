"""Return the outputs of a network's layers for given rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np

from polycera.errors import InputError, UnknownName
from polycera.layers import keras_graph
from polycera.typing import Array


def representations(
    model: Any, x: Any, layers: Sequence[str] | None = None, *, batch_size: int = 256
) -> dict[str, Array]:
    """Return the output of each layer for these rows, as in `predict`: without dropout.

    Args:
        model: any functional or sequential `keras.Model`, also a polycera model.
        x: rows, as for `fit`.
        layers: names of layers; a second call of a layer is called `name (2)`. None for all layers
            that have weights. For a model within the model only its output is available.
        batch_size: rows of a batch.

    Returns:
        layer name -> [n, features], flattened, in the order of the network.

    Raises:
        UnknownName: for a layer that does not exist.
        InputError: for a model whose layers cannot be seen.

    Examples:
        >>> import keras, numpy as np
        >>> x = keras.Input((4,))
        >>> model = keras.Model(
        ...     x, keras.layers.Dense(1, name="price")(keras.layers.Dense(8, name="trunk")(x))
        ... )
        >>> {
        ...     name: seen.shape
        ...     for name, seen in representations(model, np.ones((3, 4), "float32")).items()
        ... }
        {'trunk': (3, 8), 'price': (3, 1)}
    """
    return Viewer.of(model, layers).see(x, batch_size)


class Viewer(NamedTuple):
    """Hold a network that shares the weights of a model and returns the outputs of its layers.

    Attributes:
        layers: names of the layers.
        network: rows -> a list with a tensor for each layer.
    """

    layers: list[str]
    network: Any

    @classmethod
    def of(cls, model: Any, layers: Sequence[str] | None = None) -> Self:
        """Return a viewer of these layers of a model.

        Raises:
            UnknownName, InputError: as for `representations`.
        """
        tensors = _tensors(model)
        names = _chosen(model, tensors, layers)
        # A Sequential has no `input`. Where there is one it is preferred: it keeps the names of a
        # dict.
        inputs = model.input if hasattr(model, "input") else model.inputs[0]
        # With a fixed batch size every axis has a known length, so the axis of the rows cannot be
        # found.
        fixed = any(tensor.shape[0] is not None for tensor in model.inputs)
        outputs = [tensors[name] if fixed else _rows_first(tensors[name]) for name in names]
        return cls(names, keras.Model(inputs, outputs))

    def see(self, x: Any, batch_size: int = 256) -> dict[str, Array]:
        """Return layer name -> output [n, features], flattened."""
        outputs = self.network.predict(x, batch_size=batch_size, verbose=0)
        # `predict` gives an array, not a list, where there is one output.
        arrays = map(np.asarray, outputs if isinstance(outputs, list) else [outputs])
        flat = [array.reshape(len(array), math.prod(array.shape[1:])) for array in arrays]
        return dict(zip(self.layers, flat, strict=True))


def _chosen(model: Any, tensors: dict[str, Any], layers: Sequence[str] | None) -> list[str]:
    """Return the names of the layers to look at; by default all that have weights."""
    if layers is None:
        layers = [
            name
            for name, tensor in tensors.items()
            if getattr(keras_graph.operation_of(tensor), "weights", ())
        ]
    for name in layers:
        if name not in tensors:
            raise UnknownName("layer", name, tensors)
    if not layers:
        raise InputError(
            f"The model {model.name!r} has no layer with weights; name the layers to compare."
        )
    return list(layers)


def _rows_first(tensor: Any) -> Any:
    """Move the rows to the first axis where another axis stands before them.

    The network of a table has its ensemble members on the first axis.
    """
    members_first = tensor.shape[0] is not None and tensor.shape[1:2] == (None,)
    return keras.ops.swapaxes(tensor, 0, 1) if members_first else tensor


def _tensors(model: Any) -> dict[str, Any]:
    """Return name -> output of each layer and operation, each after its inputs."""
    if not getattr(model, "outputs", None):
        kind = type(model).__name__
        raise InputError(
            f"The layers of {kind} cannot be inspected: this needs a functional or sequential "
            "keras.Model."
        )
    done = {id(tensor) for tensor in model.inputs}
    tensor_by_name: dict[str, Any] = {}
    # A loop with a stack, not recursion: a deep network would exceed Python's recursion limit.
    waiting = list(reversed(model.outputs))
    while waiting:
        tensor = waiting[-1]
        node = keras_graph.node_of(tensor)
        missing = [
            input_tensor for input_tensor in node.input_tensors if id(input_tensor) not in done
        ]
        if id(tensor) in done or not missing:
            waiting.pop()
            if id(tensor) not in done:
                done.add(id(tensor))
                tensor_by_name[_free(node.operation.name, tensor_by_name)] = tensor
        else:
            waiting += missing
    return tensor_by_name


def _free(name: str, taken: dict[str, Any]) -> str:
    """Return the name, or with a number, `name (2)`, where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
