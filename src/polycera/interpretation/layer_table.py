"""The layers of a network as a list: each once, after those whose outputs it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polycera.interpretation.multiply_adds import multiply_adds
from polycera.interpretation.reachability import Reachability
from polycera.layers.graph import Call, Key
from polycera.layers.unique_names import unique_names
from polycera.runs.results import Layer


@dataclass
class User:
    """A layer or operation with all of its calls.

    Attributes:
        operation: what is called.
        calls: in their order.
        serving, teaching: the tasks of all calls, as bits; see `Reach`.
    """

    operation: Any
    calls: list[Call] = field(default_factory=list)
    serving: int = 0
    teaching: int = 0


def users(reach: Reachability) -> list[User]:
    """Every layer with its calls, by its first one."""
    found: dict[int, User] = {}
    for call in reach.graph.calls:
        user = found.setdefault(id(call.operation), User(call.operation))
        user.calls.append(call)
        user.serving |= reach.serving[call]
        user.teaching |= reach.teaching[call]
    return list(found.values())


def layers(model: Any, reach: Reachability, used: list[User]) -> list[Layer]:
    """Inputs and layers. One that is called again on what came of it is not listed among its own inputs."""
    made: dict[Key, str] = {}
    found = []
    operations = [
        *(tensor._keras_history.operation for tensor in model.inputs),
        *(user.operation for user in used),
    ]
    named = unique_names(operation.name for operation in operations)
    own, names = named[: len(model.inputs)], named[len(model.inputs) :]
    for key, tensor, name in zip(reach.graph.inputs, model.inputs, own, strict=True):
        made[key] = name
        found.append(
            Layer(
                name, "InputLayer", _places(reach.entering[key]), 0, 0, list(tensor.shape[1:]), []
            )
        )
    made |= {
        key: name
        for name, user in zip(names, used, strict=True)
        for call in user.calls
        for key in call.outputs
    }
    found += [_layer(name, user, made) for name, user in zip(names, used, strict=True)]
    return _ordered(found)


def _layer(name: str, user: User, made: dict[Key, str]) -> Layer:
    adds = [multiply_adds(call.operation, call.node) for call in user.calls]
    first = user.calls[0].node.output_tensors[0]
    return Layer(
        name=name,
        kind=type(user.operation).__name__,
        tasks=_places(user.serving),
        parameters=user.operation.count_params() if hasattr(user.operation, "count_params") else 0,
        multiply_adds=None if None in adds else sum(each for each in adds if each is not None),
        shape=list(first.shape[1:]),
        inputs=list(dict.fromkeys(made[key] for call in user.calls for key in call.inputs)),
    )


def _ordered(waiting: list[Layer]) -> list[Layer]:
    """Each after its inputs; where layers are called in a ring, the first one is cut off from those behind it."""
    placed: dict[str, Layer] = {}
    while waiting:
        ready = next(
            (layer for layer in waiting if all(name in placed for name in layer.inputs)), waiting[0]
        )
        waiting.remove(ready)
        ready.inputs = [name for name in ready.inputs if name in placed]
        placed[ready.name] = ready
    return list(placed.values())


def _places(mask: int) -> list[int]:
    return [place for place in range(mask.bit_length()) if mask >> place & 1]
