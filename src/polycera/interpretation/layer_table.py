"""List the layers of a network, each once, after the layers whose outputs it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polycera.interpretation.reachability import Reachability
from polycera.layers import keras_graph
from polycera.layers.call_graph import Call, Key
from polycera.layers.unique_names import unique_names
from polycera.runs.results import Layer


@dataclass
class User:
    """Hold a layer or operation with all of its calls.

    Attributes:
        operation: the layer or operation that is called.
        calls: its calls, in their order.
        serving, teaching: the tasks of all calls, as bit masks; see `Reachability`.
    """

    operation: Any
    calls: list[Call] = field(default_factory=list)
    serving: int = 0
    teaching: int = 0


def users(reach: Reachability) -> list[User]:
    """Return every layer with its calls, in the order of its first call."""
    user_by_id: dict[int, User] = {}
    for call in reach.graph.calls:
        user = user_by_id.setdefault(id(call.operation), User(call.operation))
        user.calls.append(call)
        user.serving |= reach.serving[call]
        user.teaching |= reach.teaching[call]
    return list(user_by_id.values())


def layers(model: Any, reach: Reachability, used: list[User]) -> list[Layer]:
    """Return the inputs and layers of a network.

    A layer that is called again on what was made from its own output is not listed among its
    inputs.
    """
    name_by_tensor: dict[Key, str] = {}
    rows = []
    operations = [
        *(keras_graph.operation_of(tensor) for tensor in model.inputs),
        *(user.operation for user in used),
    ]
    # Inputs and layers get their names together, so that no name is used twice.
    all_names = unique_names(operation.name for operation in operations)
    input_names, user_names = all_names[: len(model.inputs)], all_names[len(model.inputs) :]
    for key, tensor, name in zip(reach.graph.inputs, model.inputs, input_names, strict=True):
        name_by_tensor[key] = name
        rows.append(
            Layer(name, "InputLayer", _set_bits(reach.entering[key]), 0, list(tensor.shape[1:]), [])
        )
    for name, user in zip(user_names, used, strict=True):
        for call in user.calls:
            name_by_tensor |= dict.fromkeys(call.outputs, name)
    rows += [
        _layer(name, user, name_by_tensor) for name, user in zip(user_names, used, strict=True)
    ]
    return _ordered(rows)


def _layer(name: str, user: User, makers: dict[Key, str]) -> Layer:
    """Return the row of the table for one layer."""
    first_output = user.calls[0].node.output_tensors[0]
    return Layer(
        name=name,
        kind=type(user.operation).__name__,
        tasks=_set_bits(user.serving),
        parameters=user.operation.count_params() if hasattr(user.operation, "count_params") else 0,
        shape=list(first_output.shape[1:]),
        inputs=list(dict.fromkeys(makers[key] for call in user.calls for key in call.inputs)),
    )


def _ordered(waiting: list[Layer]) -> list[Layer]:
    """Return the layers in an order in which each comes after its inputs.

    Where layers are called in a ring, the first one loses the inputs that come after it.
    """
    placed: dict[str, Layer] = {}
    while waiting:
        ready = next(
            (layer for layer in waiting if all(name in placed for name in layer.inputs)), waiting[0]
        )
        waiting.remove(ready)
        ready.inputs = [name for name in ready.inputs if name in placed]
        placed[ready.name] = ready
    return list(placed.values())


def _set_bits(mask: int) -> list[int]:
    """Return the indices of the bits that are set in a mask."""
    return [index for index in range(mask.bit_length()) if mask >> index & 1]
