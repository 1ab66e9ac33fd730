"""What the layers of a network make of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np

from polycera.errors import InputError, UnknownName
from polycera.typing import Array


def representations(
    model: Any, x: Any, layers: Sequence[str] | None = None, *, batch_size: int = 256
) -> dict[str, Array]:
    """What each layer gives for these rows, as in `predict`: without dropout.

    Args:
        model: any functional or sequential `keras.Model`, ours too.
        x: rows, as for `fit`.
        layers: names; a second call of a layer is called `name (2)`. None for all layers that have
            weights. Of a model within the model there is its output.
        batch_size: rows at once.

    Returns:
        layer name -> [n, features], flattened, in the order of the network.

    Raises:
        UnknownName: for a layer that there is not.
        InputError: for a model whose layers cannot be seen.

    Examples:
        >>> import keras, numpy as np
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, keras.layers.Dense(1, name="price")(keras.layers.Dense(8, name="trunk")(x)))
        >>> {name: seen.shape for name, seen in representations(model, np.ones((3, 4), "float32")).items()}
        {'trunk': (3, 8), 'price': (3, 1)}
    """
    return Viewer.of(model, layers).see(x, batch_size)


class Viewer(NamedTuple):
    """A network on the weights of another that gives what the layers of that one give.

    Attributes:
        layers: their names.
        network: rows -> a list, a tensor for each layer.
    """

    layers: list[str]
    network: Any

    @classmethod
    def of(cls, model: Any, layers: Sequence[str] | None = None) -> Self:
        """Of these layers.

        Raises:
            UnknownName, InputError: as for `representations`.
        """
        tensors = _tensors(model)
        names = _chosen(model, tensors, layers)
        # a Sequential has only the latter
        inputs = model.input if hasattr(model, "input") else model.inputs[0]
        # whose rows are a number, too
        fixed = any(tensor.shape[0] is not None for tensor in model.inputs)
        seen = [tensors[name] if fixed else _rows_first(tensors[name]) for name in names]
        return cls(names, keras.Model(inputs, seen))

    def see(self, x: Any, batch_size: int = 256) -> dict[str, Array]:
        """Layer name -> [n, features], flattened."""
        found = self.network.predict(x, batch_size=batch_size, verbose=0)
        arrays = map(np.asarray, found if isinstance(found, list) else [found])
        flat = [array.reshape(len(array), math.prod(array.shape[1:])) for array in arrays]
        return dict(zip(self.layers, flat, strict=True))


def _chosen(model: Any, tensors: dict[str, Any], layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        layers = [name for name, tensor in tensors.items() if getattr(_made(tensor), "weights", ())]
    for name in layers:
        if name not in tensors:
            raise UnknownName("layer", name, tensors)
    if not layers:
        raise InputError(
            f"There is no layer with weights in {model.name!r}; name the ones to look at."
        )
    return list(layers)


def _rows_first(tensor: Any) -> Any:
    """Put the rows first where another axis stands before them, as members do in the network of a table."""
    members_first = tensor.shape[0] is not None and tensor.shape[1:2] == (None,)
    return keras.ops.swapaxes(tensor, 0, 1) if members_first else tensor


def _made(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _tensors(model: Any) -> dict[str, Any]:
    """What each layer and operation of a network gives, each after what it takes."""
    if not getattr(model, "outputs", None):
        kind = type(model).__name__
        raise InputError(
            f"The layers of {kind} cannot be seen: it takes a functional or sequential keras.Model."
        )
    done = {id(tensor) for tensor in model.inputs}
    found: dict[str, Any] = {}
    waiting = list(reversed(model.outputs))
    while waiting:
        tensor = waiting[-1]
        history = tensor._keras_history
        missing = [
            t
            for t in history.operation._inbound_nodes[history.node_index].input_tensors
            if id(t) not in done
        ]
        if id(tensor) in done or not missing:
            waiting.pop()
            if id(tensor) not in done:
                done.add(id(tensor))
                found[_free(history.operation.name, found)] = tensor
        else:
            waiting += missing
    return found


def _free(name: str, taken: dict[str, Any]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
