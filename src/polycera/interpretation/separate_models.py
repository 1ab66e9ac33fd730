"""One network for each task of a joint one, of the same layers with new weights."""

from __future__ import annotations

from typing import Any

import keras

from polycera.interpretation.reachability import Reachability
from polycera.layers import Heads, Outputs
from polycera.layers.kernel_layer import Blend, Landmarks
from polycera.layers.outputs_by_name import named_outputs
from polycera.model import Model
from polycera.typing import TaskName


def separate(model: Any, task: TaskName) -> tuple[Any, list[int]]:
    """The network of one task alone.

    Args:
        model: with several tasks.
        task: one of them.

    Returns:
        a network of the layers that lead to the task, with new weights; which of the model's inputs
        it takes.
    """
    reach = Reachability.of(model, [task])
    used = [place for place, key in enumerate(reach.graph.inputs) if reach.entering[key]]
    inputs = [model.inputs[place] for place in used]
    if isinstance(model, Model):
        return Model(*_cloned(inputs, _head(model, reach, task))), used
    return keras.Model(*_cloned(inputs, {task: named_outputs(model)[task]})), used


def copied(model: Any) -> Any:
    """The network with new weights, its weighting and balancing included."""
    if isinstance(model, Model):
        return Model(*_cloned(model.inputs, model.outputs[0]), **model._shared.given)
    return keras.Model(*_cloned(model.inputs, model.outputs))


def _head(model: Model, reach: Reachability, task: TaskName) -> Any:
    """The output of a head for this task alone, on the features that it has in the model."""
    layer = next(head for head in model.heads if task in head.layout.tasks)
    given = next(call.node.input_tensors for call in reach.graph.calls if call.operation is layer)
    own = layer.layout.tasks[task]
    if isinstance(layer, Outputs):
        return Outputs([own], {task: layer.activations.get(task)})(
            [given[list(layer.layout.tasks).index(task)]]
        )
    assert isinstance(layer, Heads)
    raw = Heads([own], use_bias=layer.use_bias, members=layer.members)(given[0])
    last = model.outputs[0]._keras_history.operation
    return _blended(last, raw, own.units) if isinstance(last, Blend) else raw


def _blended(last: Blend, raw: Any, units: int) -> Any:
    """Raw outputs of one task, mixed with landmarks of its own where the model has some."""
    beside = [tensor._keras_history.operation for tensor in keras.tree.flatten(last.input)[1:]]
    return Blend(units)([raw, *(Landmarks(each.count, units)(each.input) for each in beside)])


def _cloned(inputs: list[Any], outputs: Any) -> tuple[Any, Any]:
    """Inputs and outputs of the same layers with new weights."""
    clone = keras.models.clone_model(keras.Model(inputs, outputs))
    return clone.inputs, clone.output
