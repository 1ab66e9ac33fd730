"""Any Keras model with named outputs, taken over as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.networks.heads import TaskLayer
from polycera.shapes import Raw, TaskName, Tensor
from polycera.tasks import Joint, Task
from polycera.tasks.keras_losses import check_fit, range_of

PLAIN = ("linear", None)
LOGITS_OF = {
    "binary": "sigmoid",
    "proportion": "sigmoid",
    "multilabel": "sigmoid",
    "multiclass": "softmax",
    "count": "exponential",
}
"""The activation that a head of each kind may already end in; its inverse gives back what the losses take."""
OWN_UNITS = ("regression", "quantile")
"""Kinds whose head may end in any activation: it then answers in the user's units, not standardised."""
BENDING = ("softmax", "sigmoid", "relu", "leakyrelu", "prelu", "elu")
"""Layers and operations that are an activation and nothing else."""
EDGE = 1e-7
"""Probabilities are kept this far from 0 and 1, as Keras does, so that their logits are finite."""


@keras.saving.register_keras_serializable(package="polycera")
class Outputs(TaskLayer):
    """The outputs of someone's own heads, brought side by side as raw outputs.

    Args:
        tasks: tasks, in any order.
        activations: task name -> the activation its head ends in, to be undone; None for raw outputs.

    Input: a dict of task name to [n, units]. Output shape: [n, units], all tasks side by side; float32.
    """

    def __init__(self, tasks: Sequence[Any], activations: dict[TaskName, str | None], **kwargs: Any) -> None:
        super().__init__(tasks, **kwargs)
        self.activations = dict(activations)

    def call(self, outputs: list[Tensor]) -> Raw:
        parts = zip(self.layout.tasks, outputs, strict=True)
        return ops.concatenate([self._raw(name, value) for name, value in parts], axis=-1)

    def _raw(self, name: TaskName, value: Tensor) -> Tensor:
        value = ops.cast(value, "float32")
        undone = self.activations[name] if self.layout.tasks[name].kind not in OWN_UNITS else None
        if undone == "sigmoid":
            p = ops.clip(value, EDGE, 1.0 - EDGE)
            return ops.log(p) - ops.log(1.0 - p)
        if undone == "softmax":
            return ops.log(ops.clip(value, EDGE, 1.0))
        return ops.log(ops.maximum(value, EDGE)) if undone == "exponential" else value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activations": self.activations}


def gathered(model: keras.Model, tasks: Sequence[Task | Joint], activations: dict[TaskName, str] | None = None) -> Raw:
    """The outputs that tasks name, side by side: what `polycera.adopt` puts a model around.

    Raises:
        UnknownName, InputError: see `polycera.adopt`.
    """
    outputs = named_outputs(model)
    unknown = [n for n in activations or {} if n not in outputs]
    if unknown:
        raise UnknownName("output", unknown[0], outputs)
    adopted: list[Task | Joint] = []
    endings: dict[TaskName, str | None] = {}
    for task in tasks:
        if isinstance(task, Task):
            if task.name not in outputs:
                raise UnknownName("output for task", task.name, outputs)
            ending = (activations or {}).get(task.name, activation_of(outputs[task.name]))
            task = _fitted_to(task, outputs[task.name], ending)
            check_fit(task, range_of(ending))
            endings[task.name] = None if ending in PLAIN else ending
        adopted.append(task)
    layer = Outputs(adopted, endings)
    return layer([outputs[n] for n in layer.layout.tasks])


def named_outputs(model: keras.Model) -> dict[str, Any]:
    """The model's outputs by name.

    Raises:
        InputError: where it has none yet, or two of one name.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise InputError(
            "pc.adopt takes a functional or sequential keras.Model that knows its inputs: "
            "begin it with keras.Input(shape), or call it once on data."
        )
    structure = getattr(model, "output", None)
    if isinstance(structure, dict):
        return dict(structure)
    names = list(getattr(model, "output_names", None) or [t._keras_history.operation.name for t in model.outputs])
    if len(set(names)) < len(names):
        raise InputError(f"Two outputs of one name: {listing(names)}; name the output layers, or return a dict.")
    return dict(zip(names, model.outputs, strict=True))


def activation_of(tensor: Any) -> str | None:
    """What the operation behind an output ends in: a name such as `sigmoid`, or None where it cannot be seen."""
    operation = tensor._keras_history.operation
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        inner = operation.outputs[tensor._keras_history.tensor_index]
        return activation_of(inner)
    kind = type(operation).__name__.lower()
    if kind in BENDING:
        return kind
    activation = getattr(operation, "activation", None)
    if callable(activation) and not getattr(operation, "recurrent_activation", None):
        return str(getattr(activation, "__name__", "unknown"))
    return None


def _for_several(task: Task, ending: str | None) -> str:
    """What to use where one output has several numbers."""
    if task.units > 1:
        return ""
    name = repr(shorten(task.name))
    shares = f"pc.Multilabel({name}, soft=True) for shares from 0 to 1"
    if task.kind in ("regression", "proportion"):
        return f"; for several numbers of one output use {shares}, or name each: an output and a task of its own"
    return f"; for several labels of one output use pc.Multilabel({name})" if task.kind == "binary" else ""


def _fitted_to(task: Task, tensor: Any, ending: str | None) -> Task:
    """The task as this head serves it.

    Raises:
        InputError: where head and task do not fit.
    """
    name = shorten(task.name)
    if len(tensor.shape) != 2:
        raise InputError(f"Output {name!r} has shape {list(tensor.shape)}; a head gives [n, units].")
    if task.kind in ("multiclass", "ordinal") and getattr(task, "classes", 0) is None:
        task = task.replace(classes=tensor.shape[-1] + (task.kind == "ordinal"))
    if task.kind == "multilabel" and not getattr(task, "labels", ()):
        task = task.replace(labels=tensor.shape[-1])
    if tensor.shape[-1] != task.units:
        raise InputError(
            f"Output {name!r} has {tensor.shape[-1]} units, but its task ({task.kind}) needs {task.units}"
            f"{_for_several(task, ending)}."
        )
    if task.kind in OWN_UNITS:
        return task if ending in PLAIN else task.replace(standardize=False)
    if ending not in (*PLAIN, LOGITS_OF.get(task.kind)):
        fits = " or ".join(dict.fromkeys(["linear", LOGITS_OF.get(task.kind, "linear")]))
        raise InputError(f"Output {name!r} ends in {ending!r}, but a {task.kind} head ends in {fits}.")
    if ending is None:
        raise InputError(
            f"Cannot see what output {name!r} ends in: say so, activations={{{name!r}: 'linear'}} for logits, "
            f"or {LOGITS_OF.get(task.kind, 'linear')!r}."
        )
    return task
