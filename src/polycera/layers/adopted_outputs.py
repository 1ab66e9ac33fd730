"""Take over any Keras model with named outputs, without changing it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers import keras_graph
from polycera.layers.heads import TaskLayer
from polycera.layers.output_endings import LINEAR, RANGES, WIDE, Ending, Walk
from polycera.layers.trained_heads import HeadTraining, head_training, remember
from polycera.layers.without_activation import Twins, reached
from polycera.tasks import Joint, Task
from polycera.tasks.keras_losses import check_fit
from polycera.typing import Raw, TaskName, Tensor

LOGITS_OF = {
    "binary": "sigmoid",
    "proportion": "sigmoid",
    "multilabel": "sigmoid",
    "multiclass": "softmax",
    "count": "exponential",
}
"""Maps a kind to the activation that its head may already end in.

Its inverse gives back the raw outputs that the losses take.
"""
SCALED_KINDS = ("regression", "quantile")
"""Lists the kinds whose head may end in any activation.

It then predicts in the user's units, without target scaling.
"""
EDGE = 1e-7
"""Probabilities keep this distance from 0 and 1, as in Keras, so that logits are finite."""
ACTIVATIONS = sorted({LINEAR, "elu", "gelu", "leaky_relu", "selu", "silu", *RANGES})
"""Lists the activations that `activations=` accepts."""


@keras.saving.register_keras_serializable(package="polycera")
class Outputs(TaskLayer):
    """Concatenate the outputs of a user's own heads to raw outputs.

    Args:
        tasks: tasks, in any order.
        activations: task name -> the activation its head ends in, which is undone here; None for
            raw outputs.

    Input: a dict of task name to [n, units]. Output shape: [n, units], all tasks side by side;
        float32.
    """

    def __init__(
        self, tasks: Sequence[Any], activations: dict[TaskName, str | None], **kwargs: Any
    ) -> None:
        super().__init__(tasks, **kwargs)
        self.activations = dict(activations)
        # What `activations=` declares and no layer shows. It is checked against a batch.
        self.declared: dict[TaskName, str] = {}
        self.behind: dict[TaskName, str] = {}  # the activation before the layer that hides the end
        # Lowest and highest value that a regression can predict.
        self.reach: dict[TaskName, tuple[float, float]] = {}
        self.when_fitted: Callable[[], None] | None = None

    def call(self, outputs: list[Tensor]) -> Raw:
        """Return raw outputs [n, units] from the tasks' outputs, in the order of the tasks."""
        parts = zip(self.layout.tasks, outputs, strict=True)
        return ops.concatenate([self._raw(name, value) for name, value in parts], axis=-1)

    def fit_to(self, *numbers: Any) -> None:
        """Set location, scale and prior, and record that the heads learn scaled targets."""
        super().fit_to(*numbers)
        if self.when_fitted is not None:
            self.when_fitted()

    def _raw(self, name: TaskName, value: Tensor) -> Tensor:
        """Return one output as raw outputs: undo the activation that its head ends in."""
        value = ops.cast(value, "float32")
        undone = (
            self.activations[name] if self.layout.tasks[name].kind not in SCALED_KINDS else None
        )
        if undone == "sigmoid":
            p = ops.clip(value, EDGE, 1.0 - EDGE)
            return ops.log(p) - ops.log(1.0 - p)
        if undone == "softmax":
            # Up to a constant for each row, which a softmax ignores.
            return ops.log(ops.clip(value, EDGE, 1.0))
        return ops.log(ops.maximum(value, EDGE)) if undone == "exponential" else value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activations": self.activations}


@dataclass(frozen=True)
class Head:
    """Describes an output of a user's own model, as one task uses it.

    Attributes:
        task: the task, completed by what the head shows.
        tensor: the output, [n, units].
        ending: the activation or layer that it ends in.
        undone: the activation to undo before the loss; None for raw outputs.
        declared: the activation that `activations=` declares and no layer shows.
        training: whether a linear head has been trained; None for other endings.
    """

    task: Task
    tensor: Any
    ending: Ending
    undone: str | None = None
    declared: str | None = None
    training: HeadTraining | None = None

    @property
    def reach(self) -> tuple[float, float] | None:
        """Return the lowest and highest value that a regression in the user's units can predict.

        None where it can predict any number.
        """
        if self.task.kind != "regression" or self.standardised:
            return None
        low, high = (
            RANGES.get(self.declared, WIDE)
            if self.declared
            else (self.ending.low, self.ending.high)
        )
        return (float(low), float(high)) if math.isfinite(low) or math.isfinite(high) else None

    @property
    def standardised(self) -> bool:
        """Return whether the task takes location and scale out of its labels."""
        return bool(getattr(self.task, "standardize", False))


def gathered(
    model: keras.Model,
    tasks: Sequence[Task | Joint],
    activations: Mapping[TaskName, str] | None = None,
    standardize: bool | None = None,
) -> Raw:
    """Return the outputs that tasks name, side by side, as raw outputs.

    `polycera.adopt` builds a model around them. Where the model shows the input of a sigmoid, a
    softmax or an exponential, this input is used instead, computed with the same weights.

    Raises:
        UnknownName, InputError: see `polycera.adopt`.
    """
    outputs = named_outputs(model)
    declared = dict(activations or {})
    unknown = [n for n in declared if n not in outputs]
    if unknown:
        raise UnknownName("output", unknown[0], outputs)
    for name, activation in declared.items():
        if activation not in ACTIVATIONS:
            raise UnknownName(f"activation of output {shorten(name)!r}:", activation, ACTIVATIONS)
    walk = Walk()
    heads: dict[TaskName, Head] = {}
    adopted: list[Task | Joint] = []
    for task in tasks:
        if isinstance(task, Task):
            if task.name not in outputs:
                raise UnknownName(
                    "output for task", task.name, outputs, _renaming(model, outputs, tasks)
                )
            tensor = column_of(task.name, outputs[task.name])
            task_head = fitted(
                task, tensor, walk.ending(tensor), declared.get(task.name), standardize, model
            )
            task = task_head.task
            check_fit(task, _numbers(task_head.ending))
            heads[task.name] = task_head
        adopted.append(task)
    _warn(heads)
    raw = _rewired(heads, walk.twins)
    undone = {
        # A tensor that was replaced holds logits already: nothing is left to undo.
        name: None if raw[name] is not head.tensor else head.undone
        for name, head in heads.items()
    }
    layer = Outputs(adopted, undone)
    layer.declared = {
        name: head.declared for name, head in heads.items() if head.declared is not None
    }
    layer.behind = {
        name: head.ending.behind for name, head in heads.items() if head.ending.behind is not None
    }
    layer.reach = {name: head.reach for name, head in heads.items() if head.reach is not None}
    standardised: list[Any] = []
    for head in heads.values():
        if head.standardised:
            standardised += head.ending.heads
    # From the first fit on these heads learn scaled targets: a second `adopt` must know that.
    layer.when_fitted = lambda: remember(standardised)
    return layer([raw[n] for n in layer.layout.tasks])


def named_outputs(model: keras.Model) -> dict[str, Any]:
    """Return the model's outputs by name.

    Raises:
        InputError: where the model has no outputs yet, or two with the same name.
    """
    if not isinstance(model, keras.Model):
        raise InputError(
            "pc.adopt takes a keras.Model, functional or sequential, that begins with "
            f"keras.Input(shape); got {type(model).__name__}."
        )
    if not getattr(model, "outputs", None):
        raise InputError(_unseen(model))
    output_structure = getattr(model, "output", None)
    if isinstance(output_structure, dict):
        return dict(output_structure)
    names = list(
        getattr(model, "output_names", None)
        or [keras_graph.operation_of(tensor).name for tensor in model.outputs]
    )
    if len(set(names)) < len(names):
        example = listing(f"name{number}" for number in range(len(names)))
        raise InputError(
            f"Two outputs of one name: {listing(names)}; name them by a dict of outputs: "
            f"keras.Model(model.input, dict(zip([{example}], model.outputs)))."
        )
    return dict(zip(names, model.outputs, strict=True))


def traced(model: Any) -> Any:
    """Return a model that begins with an input.

    A subclassed model that was called before is called on an input. Its class is then one layer of
    the new model, so the activation it ends in must be declared.
    """
    subclassed = isinstance(model, keras.Model) and not isinstance(model, keras.Sequential)
    if not subclassed or getattr(model, "outputs", None) or not model.built:
        return model
    shapes = [shape for shape in (model.get_build_config() or {}).values() if shape]
    if (
        len(shapes) != 1
        or isinstance(shapes[0], dict)
        or not all(isinstance(n, int | None) for n in shapes[0])
    ):
        return model
    inputs = keras.Input(tuple(shapes[0][1:]))
    try:
        return keras.Model(inputs, model(inputs), name=model.name)
    except Exception:  # a user's own `call` may raise anything without data
        return model


def fitted(
    task: Task,
    tensor: Any,
    ending: Ending,
    declared: str | None,
    standardize: bool | None,
    model: keras.Model,
) -> Head:
    """Return an output as a task uses it.

    Args:
        task: the task.
        tensor: the output, [n, units].
        ending: what its layers show that it ends in.
        declared: the activation that `activations=` declares.
        standardize: what `pc.adopt` was given for all tasks.
        model: the model whose output it is.

    Raises:
        InputError: where head and task do not fit, or where something that must be known cannot be
            seen.
    """
    name = shorten(task.name)
    task = _counted(task, tensor, ending, model)
    if declared is not None:
        certain = ending.name in ACTIVATIONS and not ending.changed
        if certain and declared != ending.name:
            raise InputError(
                f"Output {name!r} ends in {ending.name!r}, as its layers show, but activations= "
                f"says {declared!r}: leave that out."
            )
        if certain:
            declared = None
        else:
            low, high = RANGES.get(declared, WIDE)
            # What the layers show is not certain, so the declared activation replaces it.
            ending = replace(ending, name=declared, low=low, high=high, changed=False, logits=None)
    if task.kind in SCALED_KINDS:
        return _with_scaling(Head(task, tensor, ending, declared=declared), standardize, model)
    if ending.name is None:
        raise InputError(
            f"The final activation of output {name!r} cannot be read behind {ending.hidden}: "
            f"declare it, activations={{{name!r}: 'linear'}} for logits, or "
            f"{LOGITS_OF.get(task.kind, LINEAR)!r}."
        )
    return Head(task, tensor, ending, undone=_undone(task, ending), declared=declared)


def _numbers(ending: Ending) -> str:
    """Return which numbers an output can give, as `check_fit` of losses expects it."""
    if ending.low >= 0.0:
        return "unit" if ending.high <= 1.0 else "positive"
    return "any"


def _with_scaling(head: Head, standardize: bool | None, model: keras.Model) -> Head:
    """Return a head of a regression or quantile task, with target scaling on or off.

    Target scaling is off where the head predicts in the user's units, or may do so already.

    Raises:
        InputError: where this cannot be seen; where target scaling is asked for and the head cannot
            give it.
    """
    task, ending, name = head.task, head.ending, shorten(head.task.name)
    task_option = getattr(task, "standardize_given", None)
    scaling_wanted = standardize if task_option is None else task_option
    if scaling_wanted is False:
        return replace(head, task=task.replace(standardize=False))
    if task_option and ending.name is not None and not ending.linear:
        raise InputError(
            f"Task {name!r} has standardize=True, but its output ends in {ending.text}, whose "
            "values cannot lie on both sides of the mean: leave standardize out, or end the "
            "output linear."
        )
    if scaling_wanted and (ending.linear or ending.name is None):
        return replace(head, task=task.replace(standardize=True))
    if ending.name is None:
        raise InputError(
            f"The final activation of output {name!r} cannot be read behind {ending.hidden}: "
            f"declare it, activations={{{name!r}: 'linear'}}, 'sigmoid' or what it is; or give "
            "its task standardize=False, with which it predicts in the units of your labels, as "
            "in stock Keras."
        )
    # A head with an activation predicts in the user's units; see `SCALED_KINDS`.
    if not ending.linear:
        return replace(head, task=task.replace(standardize=False))
    training = (
        HeadTraining("own", "a fixed scale or offset follows")
        if ending.changed
        else head_training(ending, model)
    )
    if training.state == "unknown":
        raise InputError(
            f"Whether output {name!r} has been trained cannot be determined: {training.reason}. "
            "Give its task standardize=False if it predicts in the units of your labels already, "
            "or standardize=True if it is new."
        )
    if training.state == "own":
        task = task.replace(standardize=False)
    return replace(head, task=task, training=training)


def _undone(task: Task, ending: Ending) -> str | None:
    """Return the activation to undo before the loss of a task whose kind has a link.

    Raises:
        InputError: for an activation that the kind cannot end in.
    """
    link = LOGITS_OF.get(task.kind)
    if ending.linear or (ending.name == "log_softmax" and link == "softmax" and not ending.changed):
        return None
    within = ending.low >= 0.0 and ending.high <= 1.0
    # Values of a softmax are no independent probabilities, except single ones cut out of it.
    is_one_of_many = ending.name == "softmax" and (task.units > 1 or not ending.changed)
    if link == "sigmoid" and within and not is_one_of_many:
        return link
    if link == "softmax" and ending.name == "softmax" and not ending.changed:
        return link
    if link == "exponential" and ending.name in ("exponential", "softplus") and ending.low >= 0.0:
        return link
    fits = " or ".join(dict.fromkeys([LINEAR, link or LINEAR]))
    raise InputError(
        f"Output {shorten(task.name)!r} ends in {ending.text}, but a {task.kind} head ends in "
        f"{fits}{_instead(task, ending)}."
    )


def _instead(task: Task, ending: Ending) -> str:
    """Return the part of an error message that says which kind of task fits the activation."""
    name = shorten(task.name)
    if ending.name == "softmax" and not ending.changed:
        return f": for classes of which one is true write pc.Multiclass({name!r})"
    if ending.name == "sigmoid" and not ending.changed and task.units > 1:
        return f": for labels of which several may be true write pc.Multilabel({name!r})"
    if ending.changed and LOGITS_OF.get(task.kind) in (ending.name, "sigmoid"):
        return f": its values lie between {ending.low:g} and {ending.high:g}"
    return (
        f": for a number in your own units write pc.Regression({name!r})" if task.units == 1 else ""
    )


def _counted(task: Task, tensor: Any, ending: Ending, model: keras.Model) -> Task:
    """Return the task with its number of classes or labels taken from its head's columns.

    A task that has one already keeps it.

    Raises:
        InputError: where the shapes do not fit.
    """
    name = shorten(task.name)
    if len(tensor.shape) != 2 or tensor.shape[-1] is None:
        raise InputError(
            f"Output {name!r} has shape {list(tensor.shape)}; a head gives [n, columns]: put "
            "keras.layers.Flatten(), a pooling or a slice behind it."
        )
    columns = tensor.shape[-1]
    if task.kind in ("multiclass", "ordinal") and getattr(task, "classes", 0) is None:
        if columns == 1 and task.kind == "multiclass":
            raise InputError(
                f"Output {name!r} has 1 column, but a multiclass head needs one for each class, "
                f"two or more: for two classes write pc.Binary({name!r})."
            )
        # An ordinal head has a column for each threshold between classes: one less than classes.
        task = task.replace(classes=columns + (task.kind == "ordinal"))
    if task.kind == "multilabel" and not getattr(task, "labels", ()):
        task = task.replace(labels=columns)
    if columns != task.units:
        raise InputError(
            f"Output {name!r} has {columns} column{'s' if columns > 1 else ''}, but its task "
            f"({task.kind}) needs {task.units}{_split(task, columns, ending, model)}."
        )
    return task


def _split(task: Task, columns: int, ending: Ending, model: keras.Model) -> str:
    """Return the part of an error message for an output of several columns and a task of one.

    It says how to split the output, or which kind of task takes all columns.
    """
    if task.units != 1 or columns < 2:
        return ""
    name = shorten(task.name)
    together = ""
    if ending.name == "sigmoid":
        soft = "" if task.kind == "binary" else ", soft=True"
        together = f" for all of them as one task write pc.Multilabel({name!r}{soft});"
    elif ending.name == "softmax":
        together = f" for classes of which one is true write pc.Multiclass({name!r});"
    outputs = named_outputs(model)
    # Keras sorts a dict of outputs by name in `model.outputs`, so the message uses the name there.
    by_name = isinstance(getattr(model, "output", None), dict)
    source = (
        f"model.output[{task.name!r}]"
        if by_name
        else f"model.outputs[{list(outputs).index(task.name)}]"
    )
    others = ", ".join(f"{shorten(other)!r}: ..." for other in outputs if other != task.name)
    cut = f"**{{f{name + '_{i}'!r}: {source}[:, i:i + 1] for i in range({columns})}}"
    inside = f"{{{others}, {cut}}}" if others else f"{{{cut}}}"
    kind = type(task).__name__
    return (
        f":{together} for one task a column split it, keras.Model(model.input, {inside}), with "
        f"pc.{kind}({name + '_0'!r}) and so on"
    )


def column_of(name: TaskName, tensor: Any) -> Any:
    """Return an output [n] as [n, 1]; any other as it is.

    Raises:
        InputError: for an output that holds several tensors.
    """
    if not keras_graph.is_symbolic(tensor):
        raise InputError(
            f"Output {shorten(name)!r} is a {type(tensor).__name__}, expected one tensor: give "
            "each its own name."
        )
    return ops.expand_dims(tensor, -1) if len(tensor.shape) == 1 else tensor


def _rewired(heads: Mapping[TaskName, Head], twins: Twins) -> dict[TaskName, Any]:
    """Return the tensor of each task that raw outputs are made from: its logits where possible.

    A layer whose activated output is needed elsewhere in the model, too, is not replaced. A file
    would hold its weights twice, and after loading the two copies would differ.
    """
    tensors = {name: head.tensor for name, head in heads.items()}
    for name, head in heads.items():
        if head.undone is not None and head.ending.logits is not None:
            tensors[name] = head.ending.logits()
    reached_layers = reached(tensors.values())
    clashing = {
        id(twins.twin_of(layer))
        for layer in twins.originals.values()
        if id(layer) in reached_layers
    }
    # Taking one head back to its own tensor can make another layer clash: repeat.
    while clashing:
        for name, head in heads.items():
            if tensors[name] is not head.tensor and clashing & set(reached([tensors[name]])):
                tensors[name] = head.tensor
        reached_layers = reached(tensors.values())
        still_clashing = {
            id(twins.twin_of(layer))
            for layer in twins.originals.values()
            if id(layer) in reached_layers
        }
        clashing = still_clashing & set(reached_layers)
    return tensors


def _warn(heads: Mapping[TaskName, Head]) -> None:
    """Warn about outputs without target scaling, and about one output with two target scalings."""
    trained = [
        (name, head.training)
        for name, head in heads.items()
        if head.training is not None and head.training.state == "own"
    ]
    if trained:
        reasons = ", ".join(
            f"{shorten(name, 40)!r} ({training.reason})" for name, training in trained[:5]
        )
        more = f" and {len(trained) - 5} more" if len(trained) > 5 else ""
        warnings.warn(
            "These outputs are trained already and predict in the units of your labels: "
            f"{reasons}{more}. So their targets are not standardised, and their losses are in "
            "these units: balance them with weight=, or give the task standardize=True.",
            stacklevel=4,
        )
    by_tensor: dict[int, list[TaskName]] = {}
    for name, head in heads.items():
        if head.standardised:
            by_tensor.setdefault(id(head.tensor), []).append(name)
    for names in by_tensor.values():
        if len(names) > 1:
            warnings.warn(
                f"The tasks {listing(names)} share one output, but each scales its targets by "
                "their own mean and deviation, so the output would have to predict two numbers "
                "at once. Give each standardize=False.",
                stacklevel=4,
            )


def _renaming(model: keras.Model, outputs: Mapping[str, Any], tasks: Sequence[Any]) -> str:
    """Return the part of an error message that says how to rename outputs to the tasks' names."""
    if isinstance(getattr(model, "output", None), dict):  # Keras sorts `model.outputs` then
        first = shorten(next(iter(outputs)))
        return (
            f"To rename outputs: keras.Model(model.input, {{'new_name': model.output[{first!r}], "
            f"...}})."
        )
    names = [task.name for task in tasks if isinstance(task, Task)]
    if len(names) != len(outputs) or len(names) > 20:
        names = [f"name{number}" for number in range(len(outputs))][:3]
    return (
        "To name the outputs of a finished model: keras.Model(model.input, "
        f"dict(zip([{listing(names)}], model.outputs)))."
    )


def _unseen(model: keras.Model) -> str:
    """Return the error message for a model that does not show its inputs and outputs."""
    if isinstance(model, keras.Sequential):
        return (
            f"pc.adopt: the Sequential {model.name!r} has no inputs yet: begin it with "
            "keras.Input(shape), or call it once on data."
        )
    return (
        f"pc.adopt: {type(model).__name__} {model.name!r} is a subclassed model, whose outputs "
        "cannot be read: wrap it, x = keras.Input(shape); pc.adopt(keras.Model(x, model(x)), "
        "tasks, activations={...}), with a dict of outputs and what each ends in."
    )
