"""Read tasks from what a stock Keras model was compiled with: losses, their weights, metrics.

Nothing is guessed: a loss that fits several kinds is an error that asks for the kind, and so are
lists that Keras itself would assign by position.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers import keras_graph
from polycera.layers.adopted_outputs import column_of, named_outputs
from polycera.layers.output_endings import LINEAR, Ending, Walk
from polycera.tasks import Task, kind_of
from polycera.typing import TaskName

FAMILIES = {
    "binary_crossentropy": "binary",
    "binary_focal_crossentropy": "binary",
    "categorical_crossentropy": "multiclass",
    "sparse_categorical_crossentropy": "multiclass",
    "categorical_focal_crossentropy": "multiclass",
    "mean_squared_error": "regression",
    "mean_absolute_error": "regression",
    "mean_absolute_percentage_error": "regression",
    "mean_squared_logarithmic_error": "regression",
    "huber": "regression",
    "log_cosh": "regression",
    "poisson": "count",
    "hinge": "margin",
    "squared_hinge": "margin",
}
"""Kind of task that each loss of Keras is for."""

ALIASES = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "logcosh": "log_cosh",
}
"""Short names of Keras's losses, with their full names."""

DEFAULTS = {
    "binary": ("binary_crossentropy",),
    "multilabel": ("binary_crossentropy",),
    "proportion": ("binary_crossentropy",),
    "multiclass": ("categorical_crossentropy", "sparse_categorical_crossentropy"),
    "regression": ("mean_squared_error",),
    "count": ("poisson",),
}
"""Losses that each kind trains by default: these need not be written."""

SHORT = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}
"""Full names of Keras's losses, with the names that tasks use."""


@dataclass
class Written:
    """Describe a task as a user would write it.

    Attributes:
        kind: name of its kind.
        name: of the task.
        options: keyword arguments beside the name.
        activation: what its output ends in, if the loss shows it and no layer does.
    """

    kind: str
    name: TaskName
    options: dict[str, Any] = field(default_factory=dict)
    activation: str | None = None

    def task(self) -> Task:
        """Return the task."""
        return kind_of(self.kind)(self.name, **self.options)

    def __str__(self) -> str:
        options = "".join(f", {key}={_written(value)}" for key, value in self.options.items())
        return f"pc.{kind_of(self.kind).__name__}({self.name!r}{options})"


def settings(model: keras.Model) -> dict[str, Any]:
    """Return what a model was compiled with, by name of the argument; empty if it was not."""
    return keras_graph.compile_options(model) if getattr(model, "compiled", False) else {}


def recompiled(model: keras.Model, adopted: keras.Model) -> None:
    """Compile an adopted model like the user's own, with a new optimizer of the same settings."""
    compiled = settings(model)
    optimizer = getattr(model, "optimizer", None)
    if not compiled or optimizer is None:
        return
    options = {
        name: compiled[name]
        for name in ("run_eagerly", "steps_per_execution")
        if compiled.get(name) is not None
    }
    adopted.compile(type(optimizer).from_config(optimizer.get_config()), **options)


def read(
    model: keras.Model,
    kinds: Mapping[TaskName, Any] | None,
    activations: Mapping[TaskName, str],
    standardize: bool | None,
) -> tuple[list[Task], dict[TaskName, str], str]:
    """Return the tasks of a model, read from its `compile` and from kinds that the user named.

    Args:
        model: with named outputs.
        kinds: output -> name of a kind, or a task; None: all kinds are read from the losses.
        activations: what outputs end in, as far as the user gave it.
        standardize: what `pc.adopt` was given for all tasks.

    Returns:
        The tasks; what outputs end in, completed by what losses show; the tasks as a user would
        write them, or an empty text if nothing was read.

    Raises:
        UnknownName, InputError: for what is ambiguous, with what to write.
    """
    outputs = named_outputs(model)
    options = settings(model)
    for name in kinds or {}:
        if name not in outputs:
            raise UnknownName("output", name, outputs)
    losses = by_output(options.get("loss"), model, outputs, "loss")
    if kinds is None and not any(loss is not None for loss in losses.values()):
        missing = "is not compiled" if not options else "was compiled without a loss"
        raise InputError(
            f"pc.adopt(model) reads tasks from model.compile, but {model.name!r} {missing}: give "
            f"tasks=[...], a task for each output, or their kinds, {{{next(iter(outputs))!r}: "
            f"'regression', ...}}; outputs: {listing(outputs)}."
        )
    weights = by_output(options.get("loss_weights"), model, outputs, "loss_weights")
    metrics = [
        by_output(options.get(argument), model, outputs, argument)
        for argument in ("metrics", "weighted_metrics")
    ]
    walk, described = Walk(), []
    all_activations = dict(activations)
    tasks: list[Task] = []
    for name, tensor in outputs.items():
        kind = (kinds or {}).get(name)
        if isinstance(kind, Task):
            tasks.append(kind)
            continue
        loss = losses.get(name)
        if loss is None and kind is None:
            continue
        if kind is not None and not isinstance(kind, str):
            raise InputError(
                f"The kind of output {shorten(name)!r} is a {type(kind).__name__}; expected a "
                "name such as 'binary', or a task."
            )
        ending = walk.ending(column_of(name, tensor))
        if name in activations and ending.name is None:
            ending = Ending(activations[name])
        columns = tensor.shape[-1] if len(tensor.shape) == 2 else 1
        task_description = written(name, ending, columns, loss, weights.get(name), kind)
        if (
            standardize is None
            and loss is not None
            and task_description.kind in ("regression", "quantile")
        ):
            # Loss weights, and thresholds within losses, were chosen for the user's units.
            task_description.options["standardize"] = False
        task_metrics = _metrics(
            task_description, [metrics_by_output.get(name) for metrics_by_output in metrics]
        )
        if task_metrics:
            task_description.options["metrics"] = task_metrics
        if task_description.activation is not None:
            all_activations.setdefault(name, task_description.activation)
        described.append(task_description)
        tasks.append(task_description.task())
    text = (
        f"tasks=[{', '.join(map(str, described))}]"
        if described and options.get("loss") is not None
        else ""
    )
    return tasks, all_activations, text


def by_output(
    value: Any, model: keras.Model, outputs: Mapping[str, Any], argument: str
) -> dict[TaskName, Any]:
    """Return an argument of `compile` by output: dicts by name, lists in the order of the outputs.

    Raises:
        UnknownName: for a name that is no output.
        InputError: for a list where outputs have no order, or a list of another length.
    """
    names = list(outputs)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for name in value:
            if name not in outputs:
                raise UnknownName(f"output in compile({argument}=...):", name, outputs)
        return dict(value)
    if len(names) == 1:
        return {names[0]: value}
    if not isinstance(value, list | tuple):
        if argument == "loss":
            return dict.fromkeys(names, value)
        raise InputError(
            f"compile({argument}={shorten(repr(value))}) does not say for which output: write "
            f"{argument}={{{names[0]!r}: ..., {names[1]!r}: ...}}."
        )
    in_order = not isinstance(getattr(model, "output", None), dict)
    if in_order and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    pairs = zip(names, [*value, *[None] * len(names)], strict=False)
    example = ", ".join(
        f"{name!r}: {_written(entry) if entry is not None else '...'}" for name, entry in pairs
    )
    reason = (
        f"has {len(value)} entries for {len(names)} outputs"
        if in_order
        else "is a list, but the outputs are a dict, and Keras deals a list out in the sorted "
        "order of their names"
    )
    raise InputError(
        f"compile({argument}=...) {reason}: write {argument}={{{example}}}, as you mean it."
    )


def written(
    name: TaskName, ending: Ending, columns: int, loss: Any, weight: Any, kind: str | None
) -> Written:
    """Return the description of one output's task.

    Args:
        name: of the output.
        ending: what it ends in.
        columns: number of its columns.
        loss: its part of `compile`: one loss, or a list of several.
        weight: its loss weights in `compile`.
        kind: if the user named it.

    Raises:
        InputError: if the loss fits several kinds, or does not fit the ending.
    """
    losses = [] if loss is None else list(loss) if isinstance(loss, list | tuple) else [loss]
    description = Written(kind or _kind(name, ending, columns, losses), name)
    if (
        description.kind == "multilabel"
        and kind is None
        and all(FAMILIES.get(_name(output_loss)) == "regression" for output_loss in losses)
    ):
        description.options["soft"] = True
    if ending.name is None:
        description.activation = _activation_for(losses, description.kind)
    for output_loss in losses:
        _check(name, ending, output_loss, description.kind)
    several = isinstance(loss, list | tuple)
    loss_weights = list(weight) if isinstance(weight, list | tuple) else [1.0] * len(losses)
    if several and len(loss_weights) != len(losses):
        raise InputError(
            f"compile: output {shorten(name)!r} has {len(losses)} losses but {len(loss_weights)} "
            "loss_weights; give one each."
        )
    smoothing = getattr(losses[0], "label_smoothing", 0.0) if len(losses) == 1 else 0.0
    # What the kind does by default is not written, so that the printed tasks stay short.
    is_default = (
        len(losses) == 1
        and _name(losses[0]) in DEFAULTS.get(description.kind, ())
        and loss_weights == [1.0]
    )
    if is_default and not description.options.get("soft"):
        if smoothing and description.kind in ("binary", "multilabel", "multiclass"):
            description.options["label_smoothing"] = float(smoothing)
    elif losses:
        terms = [_loss(output_loss) for output_loss in losses]
        plain_names = all(isinstance(output_loss, str) for output_loss in terms) and len(
            set(map(str, terms))
        ) == len(terms)
        if len(terms) == 1 and loss_weights == [1.0]:
            description.options["loss"] = terms[0]
        elif plain_names:
            description.options["loss"] = dict(zip(terms, map(float, loss_weights), strict=True))
        else:
            description.options["loss"] = list(zip(terms, map(float, loss_weights), strict=True))
    if isinstance(weight, int | float) and weight != 1.0:
        description.options["weight"] = float(weight)
    return description


def _kind(name: TaskName, ending: Ending, columns: int, losses: list[Any]) -> str:
    """Return the kind that losses and ending show together.

    Raises:
        InputError: if they leave it open.
    """
    families = {FAMILIES.get(_name(output_loss)) for output_loss in losses}
    if families == {"binary"}:
        return "binary" if columns == 1 else "multilabel"
    if families == {"multiclass"} and columns > 1:
        return "multiclass"
    if families == {"margin"} and columns == 1 and ending.linear:
        return "binary"
    if families == {"count"} and ending.name in ("exponential", "softplus"):
        return "count"
    ends_as_number = ending.linear or ending.name in ("relu", "softplus", "exponential")
    if (
        columns == 1
        and families <= {"regression", None}
        and (ends_as_number or None not in families)
    ):
        return "regression"
    if families == {"regression"}:
        return "multilabel" if ending.name == "sigmoid" and not ending.changed else "regression"
    losses_text = listing(
        _written(output_loss) if not isinstance(output_loss, str) else output_loss
        for output_loss in losses
    )
    raise InputError(
        f"The kind of output {shorten(name)!r} cannot be read from its loss {losses_text} and its "
        f"{columns} column{'s' if columns > 1 else ''}, ending in {ending.text}: name it, "
        f"pc.adopt(model, {{{name!r}: 'regression', ...}}), or 'binary', 'proportion', "
        "'multiclass', 'multilabel', 'count', 'ordinal'."
    )


def _check(name: TaskName, ending: Ending, loss: Any, kind: str) -> None:
    """Raise if a loss does not fit an ending, or is a sum over the batch.

    Raises:
        InputError: with what to write.
    """
    if getattr(loss, "reduction", None) == "sum":
        raise InputError(
            f"The loss of output {shorten(name)!r} is a sum over the batch (reduction='sum'), "
            "which grows with the batch: leave reduction out, and multiply its loss_weights by "
            "the batch size."
        )
    family = FAMILIES.get(_name(loss))
    if family not in ("binary", "multiclass") or ending.name is None or kind not in DEFAULTS:
        return
    logits = _logits(loss)
    activation = "sigmoid" if family == "binary" else "softmax"
    if ending.linear and not logits:
        raise InputError(
            f"The loss of output {shorten(name)!r} takes probabilities, but the output ends "
            f"linear: end it in {activation!r}, or give the loss from_logits=True."
        )
    if ending.name in ("sigmoid", "softmax") and logits:
        raise InputError(
            f"The loss of output {shorten(name)!r} has from_logits=True, but the output ends in "
            f"{ending.name!r}: leave one of the two out."
        )


def _activation_for(losses: list[Any], kind: str) -> str | None:
    """Return what a hidden output ends in, if its losses show it."""
    if any(_logits(output_loss) for output_loss in losses):
        return LINEAR
    return {
        "binary": "sigmoid",
        "proportion": "sigmoid",
        "multilabel": "sigmoid",
        "multiclass": "softmax",
    }.get(kind)


def _logits(loss: Any) -> bool:
    """Return whether a loss is set to take logits."""
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    return bool(config.get("from_logits", False))


def _name(loss: Any) -> str:
    """Return the name by which Keras knows a loss; empty for a user's own."""
    if isinstance(loss, str):
        return ALIASES.get(_snake(loss), _snake(loss))
    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        return _snake(kind.__name__) if kind.__module__.split(".")[0] == "keras" else ""
    module = str(getattr(loss, "__module__", "")).split(".")[0]
    return str(getattr(loss, "__name__", "")) if module == "keras" else ""


def _snake(name: str) -> str:
    """Return a name in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _loss(loss: Any) -> Any:
    """Return a loss as a task takes it: a loss of Keras with default settings by its name."""
    name = _name(loss)
    if isinstance(loss, str) or not name:
        return loss
    if isinstance(loss, keras.losses.Loss) and _set(loss):
        return loss
    return (
        SHORT.get(name, name)
        if getattr(keras.losses, name, None) is not None or name in SHORT
        else loss
    )


def _set(loss: keras.losses.Loss) -> dict[str, Any]:
    """Return the settings of a Keras loss that differ from the defaults."""
    defaults = type(loss)().get_config()
    return {key: value for key, value in loss.get_config().items() if defaults.get(key) != value}


def _metrics(written: Written, metrics: list[Any]) -> list[Any]:
    """Return the metrics that the kind takes, and warn of the others, which are left out."""
    flat = [metric for metric in keras.tree.flatten(metrics) if metric is not None]
    accepted: list[Any] = []
    left_out: list[str] = []
    for metric in flat:
        # By name, AUC would be polycera's own, from a histogram, and not that of Keras.
        if isinstance(metric, str) and metric.lower() == "auc":
            metric = keras.metrics.AUC(name=metric)
        # A task checks its metrics as it is made, so each one is tried by itself.
        try:
            kind_of(written.kind)(written.name, **written.options, metrics=[metric])
        except InputError:
            left_out.append(metric if isinstance(metric, str) else _written(metric))
            continue
        if metric not in accepted:
            accepted.append(metric)
    if left_out:
        import warnings

        warnings.warn(
            f"Output {shorten(written.name)!r} ({written.kind}) was compiled with the metrics "
            f"{listing(left_out)}, which its kind does not have: they are left out.",
            stacklevel=5,
        )
    return accepted


def _written(value: Any) -> str:
    """Return an option's value as a user would write it."""
    if isinstance(value, keras.losses.Loss | keras.metrics.Metric):
        kind = type(value)
        try:
            options = ", ".join(
                f"{key}={setting!r}" for key, setting in _set(value).items() if key != "name"
            )
        except Exception:  # a class of someone's own that needs arguments
            options = "..."
        module_name = "losses" if isinstance(value, keras.losses.Loss) else "metrics"
        return (
            f"keras.{module_name}.{kind.__name__}({options})"
            if _name(value)
            else f"{kind.__name__}({options})"
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_written, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return str(getattr(value, "__name__", None) or repr(value)) if callable(value) else repr(value)
