"""Who shares what in a network: which layers, weights and multiply-adds serve which tasks."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from polycera.interpretation.layer_table import User, layers, users
from polycera.interpretation.multiply_adds import multiply_adds
from polycera.interpretation.reachability import Reachability
from polycera.interpretation.sharing_verdict import WeightShare, amount, verdict
from polycera.layers.balance_engine import Engine
from polycera.layers.heads import Heads, TaskLayer
from polycera.layers.kernel_layer import Blend, Landmarks
from polycera.runs.results import Cost, Sharing
from polycera.typing import TaskName


def sharing(model: Any, tasks: Collection[TaskName] | None = None) -> Sharing:
    """Which layers of a network serve which tasks, and what it costs beside separate networks of the same layers.

    Every weight is counted once, however often its layer is called, so that the counts add up to
    `count_params()`. Of the kernel of fused heads each task owns its columns, and so of what
    landmarks say and how that is blended in. What serves no answer (task weights, the state of a
    balancing) is counted as `none` and, where it belongs to the model itself, is of no layer.
    Multiply-adds are of one row, see `polycera.interpretation.multiply_adds`; layers where they are
    not known are left out of the sums.

    Args:
        model: any functional or sequential `keras.Model`; one of polycera has its tasks, of another
            each named output is a task.
        tasks: names of those to look at; None for all.

    Raises:
        InputError: for a model whose layers cannot be seen.
        UnknownName: for a task that it does not have.

    Examples:
        >>> import keras
        >>> x = keras.Input((16,))
        >>> h = keras.layers.Dense(32, activation="relu")(x)
        >>> heads = {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)}
        >>> sharing(keras.Model(x, heads)).verdict
        'This is one network: 544 of 610 weights serve both tasks and receive the sum of both gradients.'
    """
    reach = Reachability.of(model, tasks)
    used = users(reach)
    weights, products = _weights(model, reach, used), _products(model, reach)
    m = len(reach.tasks)
    parameters, adds = amount(weights, m), amount(products, m)
    return Sharing(
        tasks=list(reach.tasks),
        layers=layers(model, reach, used),
        parameters=parameters,
        multiply_adds=adds,
        joint=Cost(parameters.total, adds.total),
        separate=Cost(_separate(weights), _separate(products)),
        verdict=verdict(weights, m, balanced=_balanced(model, used)),
    )


def _weights(model: Any, reach: Reachability, used: list[User]) -> list[WeightShare]:
    """All weights of the model in parts that serve the same tasks."""
    trained = {id(variable) for variable in model.trainable_weights}
    parts: list[WeightShare] = []
    plain: dict[int, tuple[Any, int, int]] = {}
    for user in used:
        own = getattr(user.operation, "weights", ())
        if isinstance(user.operation, TaskLayer):
            slices = _columns(user, reach, trained)
            parts += slices
            parts.append(WeightShare(sum(map(_size, own)) - sum(part.size for part in slices)))
            continue
        if isinstance(user.operation, Landmarks | Blend) and reach.ours:
            split = user.operation.by_unit
            parts += [
                part for variable in split for part in _split(_size(variable), model.layout, reach)
            ]
            own = [variable for variable in own if not any(variable is one for one in split)]
        for variable in own:  # one that several layers have serves the tasks of all
            _, serving, teaching = plain.get(id(variable), (variable, 0, 0))
            plain[id(variable)] = (variable, serving | user.serving, teaching | user.teaching)
    parts += [
        WeightShare(_size(v), serving, teaching * (key in trained))
        for key, (v, serving, teaching) in plain.items()
    ]
    return [*parts, WeightShare(model.count_params() - sum(part.size for part in parts))]


def _columns(user: User, reach: Reachability, trained: set[int]) -> list[WeightShare]:
    """What each task owns of a layer that ends in tasks: its columns of the kernel; scale, location and prior."""
    layer = user.operation
    kernel = getattr(layer, "kernel", None)
    vectors = [] if kernel is None else [kernel, *([layer.bias] if layer.use_bias else [])]
    rows = sum(_size(variable) for variable in vectors) // layer.layout.units
    parts = []
    for name, task in layer.layout.tasks.items():
        bit = reach.tasks.get(name, 0) if reach.ours else user.serving
        parts.append(WeightShare(rows * task.units, bit, bit * (id(kernel) in trained)))
        parts.append(WeightShare(task.units + 2, bit))
    return parts


def _split(size: int, layout: Any, reach: Reachability) -> list[WeightShare]:
    """What has as much for each raw output, task by task."""
    each = size // layout.units
    return [
        WeightShare(each * task.units, reach.tasks.get(name, 0))
        for name, task in layout.tasks.items()
    ]


def _products(model: Any, reach: Reachability) -> list[WeightShare]:
    """The multiply-adds of all calls, those behind which each raw output has its own task by task."""
    parts: list[WeightShare] = []
    for call in reach.graph.calls:
        adds = multiply_adds(call.operation, call.node)
        if isinstance(call.operation, Heads) and reach.ours and adds is not None:
            parts += _split(adds, call.operation.layout, reach)
        elif isinstance(call.operation, Landmarks) and reach.ours and adds is not None:
            last = call.operation.count * call.operation.units
            parts += [
                WeightShare(adds - last, reach.serving[call]),
                *_split(last, model.layout, reach),
            ]
        elif adds is not None:
            parts.append(WeightShare(adds, reach.serving[call]))
    return parts


def _size(variable: Any) -> int:
    return math.prod(variable.shape)


def _separate(parts: list[WeightShare]) -> int:
    """What as many networks as there are tasks would have together: each task takes all that serves it."""
    return sum(part.size * part.serving.bit_count() for part in parts)


def _balanced(model: Any, used: list[User]) -> bool:
    """Whether what is shared learns from anything but the sum of the tasks' gradients."""
    heads = [user.operation for user in used if isinstance(user.operation, Heads)]
    balances = [head.settings.balance for head in heads if head.settings.balance is not None]
    engine = getattr(model, "_engine", None)
    if isinstance(engine, Engine):
        balances += [region.balance for region in engine.plan.regions]
    return any(balance.method.name != "mean" for balance in balances)
