"""Build one network for each task of a joint network: the same layers with new weights."""

from __future__ import annotations

from typing import Any

import keras

from polycera.interpretation.reachability import Reachability
from polycera.layers import Heads, Outputs, keras_graph
from polycera.layers.adopted_outputs import named_outputs
from polycera.layers.kernel_layer import Blend, Landmarks
from polycera.model import Model
from polycera.typing import TaskName


def separate(model: Any, task: TaskName) -> tuple[Any, list[int]]:
    """Return a network of the layers that lead to one task, with new weights.

    Args:
        model: a network with several tasks.
        task: name of one of them.

    Returns:
        the network; the indices of the model's inputs that it takes.
    """
    reach = Reachability.of(model, [task])
    used = [index for index, key in enumerate(reach.graph.inputs) if reach.entering[key]]
    inputs = [model.inputs[index] for index in used]
    if isinstance(model, Model):
        return Model(*_cloned(inputs, _head(model, reach, task))), used
    return keras.Model(*_cloned(inputs, {task: named_outputs(model)[task]})), used


def copied(model: Any) -> Any:
    """Return the network with new weights, and with its weighting and balancing."""
    if isinstance(model, Model):
        return Model(*_cloned(model.inputs, model.outputs[0]), **model.task_weighting.given)
    return keras.Model(*_cloned(model.inputs, model.outputs))


def _head(model: Model, reach: Reachability, task: TaskName) -> Any:
    """Return the output of a head for this task alone, on the features that it has in the model."""
    layer = next(head for head in model.heads if task in head.layout.tasks)
    inputs = next(call.node.input_tensors for call in reach.graph.calls if call.operation is layer)
    single_task = layer.layout.tasks[task]
    if isinstance(layer, Outputs):
        return Outputs([single_task], {task: layer.activations.get(task)})(
            [inputs[list(layer.layout.tasks).index(task)]]
        )
    assert isinstance(layer, Heads)
    raw = Heads([single_task], use_bias=layer.use_bias, members=layer.members)(inputs[0])
    last = keras_graph.operation_of(model.outputs[0])
    # A table's network ends in a blend of head and landmarks; the separate one needs the same.
    return _blended(last, raw, single_task.units) if isinstance(last, Blend) else raw


def _blended(last: Blend, raw: Any, columns: int) -> Any:
    """Return the raw outputs of one task, blended with its own landmarks where there are any."""
    # The first input of a blend is the head, a second one comes from landmarks.
    landmarks = [keras_graph.operation_of(tensor) for tensor in keras.tree.flatten(last.input)[1:]]
    return Blend(columns)(
        [raw, *(Landmarks(layer.count, columns)(layer.input) for layer in landmarks)]
    )


def _cloned(inputs: list[Any], outputs: Any) -> tuple[Any, Any]:
    """Return inputs and outputs of the same layers with new weights."""
    clone = keras.models.clone_model(keras.Model(inputs, outputs))
    return clone.inputs, clone.output
