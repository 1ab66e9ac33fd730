"""Compute which layers and weights of a network serve which tasks."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from polycera.interpretation.layer_table import User, layers, users
from polycera.interpretation.reachability import Reachability
from polycera.interpretation.sharing_verdict import WeightShare, amount, verdict
from polycera.layers.heads import Heads, TaskLayer
from polycera.layers.kernel_layer import Blend, Landmarks
from polycera.model.model import Model
from polycera.runs.results import Cost, Sharing
from polycera.typing import TaskName


def sharing(model: Any, tasks: Collection[TaskName] | None = None) -> Sharing:
    """Return which layers serve which tasks, and their cost beside separate networks.

    The separate networks are taken to have the same layers. Every weight is counted once, however
    often its layer is called, so the counts add up to `count_params()`. In the kernel of fused
    heads each task owns its columns; the same holds for the output columns of landmarks and of
    their blend. Weights that serve no output (task weights, the state of a balancing) are counted
    as `none`; where they belong to the model itself they are in no layer.

    Args:
        model: any functional or sequential `keras.Model`. A polycera model has its tasks; in
            another model each named output is a task.
        tasks: names of the tasks to look at; None for all.

    Raises:
        InputError: for a model whose layers cannot be seen.
        UnknownName: for a task that the model does not have.

    Examples:
        >>> import keras
        >>> x = keras.Input((16,))
        >>> h = keras.layers.Dense(32, activation="relu")(x)
        >>> heads = {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)}
        >>> sharing(keras.Model(x, heads)).verdict
        'This is one network: 544 of 610 weights serve both tasks and receive the sum of ...'
    """
    reach = Reachability.of(model, tasks)
    used = users(reach)
    weights = _weights(model, reach, used)
    task_count = len(reach.tasks)
    parameters = amount(weights, task_count)
    return Sharing(
        tasks=list(reach.tasks),
        layers=layers(model, reach, used),
        parameters=parameters,
        joint=Cost(parameters.total),
        separate=Cost(_separate(weights)),
        verdict=verdict(weights, task_count, balanced=_balanced(model, used)),
    )


def _weights(model: Any, reach: Reachability, used: list[User]) -> list[WeightShare]:
    """Return all weights of the model, in parts that serve the same tasks."""
    trained = {id(variable) for variable in model.trainable_weights}
    parts: list[WeightShare] = []
    unsplit: dict[int, tuple[Any, int, int]] = {}
    for user in used:
        variables = getattr(user.operation, "weights", ())
        if isinstance(user.operation, TaskLayer):
            slices = _columns(user, reach, trained)
            parts += slices
            # The rest of the layer's weights serves no task: `fitted`, the state of a balancing.
            parts.append(
                WeightShare(sum(map(_size, variables)) - sum(part.size for part in slices))
            )
            continue
        if isinstance(user.operation, Landmarks | Blend) and reach.has_task_layers:
            split = user.operation.by_unit
            parts += [
                part for variable in split for part in _split(_size(variable), model.layout, reach)
            ]
            # `is`, not `in`: == compares the values of Keras variables.
            variables = [
                variable
                for variable in variables
                if not any(variable is column for column in split)
            ]
        for variable in variables:
            # A variable that several layers share serves the tasks of all of them.
            _, serving, teaching = unsplit.get(id(variable), (variable, 0, 0))
            unsplit[id(variable)] = (variable, serving | user.serving, teaching | user.teaching)
    parts += [
        WeightShare(_size(v), serving, teaching * (key in trained))
        for key, (v, serving, teaching) in unsplit.items()
    ]
    # What belongs to the model and to none of its layers serves no task.
    return [*parts, WeightShare(model.count_params() - sum(part.size for part in parts))]


def _columns(user: User, reach: Reachability, trained: set[int]) -> list[WeightShare]:
    """Return what each task owns of a layer that ends in tasks.

    A task owns its columns of the kernel and bias, and its scale, location and prior.
    """
    layer = user.operation
    kernel = getattr(layer, "kernel", None)
    split_variables = [] if kernel is None else [kernel, *([layer.bias] if layer.use_bias else [])]
    weights_per_column = sum(_size(variable) for variable in split_variables) // layer.layout.units
    parts = []
    for name, task in layer.layout.tasks.items():
        bit = reach.tasks.get(name, 0) if reach.has_task_layers else user.serving
        parts.append(
            WeightShare(weights_per_column * task.units, bit, bit * (id(kernel) in trained))
        )
        # The state: a prior for each output column, one scale and one location. It is not trained.
        parts.append(WeightShare(task.units + 2, bit))
    return parts


def _split(size: int, layout: Any, reach: Reachability) -> list[WeightShare]:
    """Divide a size that is equal for all output columns among the tasks."""
    per_column = size // layout.units
    return [
        WeightShare(per_column * task.units, reach.tasks.get(name, 0))
        for name, task in layout.tasks.items()
    ]


def _size(variable: Any) -> int:
    """Return the number of weights of a variable."""
    return math.prod(variable.shape)


def _separate(parts: list[WeightShare]) -> int:
    """Return what one network for each task would have together.

    Each of these networks has everything that serves its task.
    """
    return sum(part.size * part.serving.bit_count() for part in parts)


def _balanced(model: Any, used: list[User]) -> bool:
    """Return whether shared weights learn from anything but the sum of the tasks' gradients."""
    heads = [user.operation for user in used if isinstance(user.operation, Heads)]
    balances = [head.settings.balance for head in heads if head.settings.balance is not None]
    if isinstance(model, Model) and model.task_weighting.engine is not None:
        balances += [region.balance for region in model.task_weighting.engine.plan.regions]
    return any(balance.method.name != "mean" for balance in balances)
