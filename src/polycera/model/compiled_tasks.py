"""Tasks read from what a stock Keras model was compiled with: its losses, their weights, its metrics.

Nothing is guessed: a loss that fits several kinds is asked for, and what Keras itself deals out by
    place is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.layers.output_endings import LINEAR, Ending, Walk
from polycera.layers.outputs_by_name import column_of, named_outputs
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
"""What kind of task each loss of Keras is for."""

ALIASES = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "logcosh": "log_cosh",
}

DEFAULTS = {
    "binary": ("binary_crossentropy",),
    "multilabel": ("binary_crossentropy",),
    "proportion": ("binary_crossentropy",),
    "multiclass": ("categorical_crossentropy", "sparse_categorical_crossentropy"),
    "regression": ("mean_squared_error",),
    "count": ("poisson",),
}
"""Losses that are what each kind trains by itself."""

SHORT = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}


@dataclass
class Written:
    """A task as one would write it.

    Attributes:
        kind: name of its kind.
        name: of the task.
        options: what is said beside the name.
        activation: what its output ends in, as the loss says and no layer shows.
    """

    kind: str
    name: TaskName
    options: dict[str, Any] = field(default_factory=dict)
    activation: str | None = None

    def task(self) -> Task:
        """Return the task."""
        return kind_of(self.kind)(self.name, **self.options)

    def __str__(self) -> str:
        said = "".join(f", {key}={_written(value)}" for key, value in self.options.items())
        return f"pc.{kind_of(self.kind).__name__}({self.name!r}{said})"


def settings(model: keras.Model) -> dict[str, Any]:
    """Return what a model was compiled with, by the names of the arguments; empty where it was not."""
    kept = getattr(model, "_compile_config", None)
    return dict(kept.config) if getattr(model, "compiled", False) and kept is not None else {}


def recompiled(model: keras.Model, adopted: keras.Model) -> None:
    """Compile an adopted model as its own was, with a new optimizer of the same settings."""
    given = settings(model)
    optimizer = getattr(model, "optimizer", None)
    if not given or optimizer is None:
        return
    kept = {
        name: given[name]
        for name in ("run_eagerly", "steps_per_execution")
        if given.get(name) is not None
    }
    adopted.compile(type(optimizer).from_config(optimizer.get_config()), **kept)


def read(
    model: keras.Model,
    kinds: Mapping[TaskName, Any] | None,
    activations: Mapping[TaskName, str],
    standardize: bool | None,
) -> tuple[list[Task], dict[TaskName, str], str]:
    """Return the tasks of a model, from its `compile` and from kinds that were named.

    Args:
        model: with named outputs.
        kinds: output -> name of a kind, or a task; None: all kinds are read from the losses.
        activations: what outputs end in, as far as it was said.
        standardize: what `pc.adopt` was given for all tasks.

    Returns:
        The tasks; what outputs end in, completed by what losses say; how one would write the tasks,
        or nothing where there was nothing to read.

    Raises:
        UnknownName, InputError: for what is ambiguous, with what to write.
    """
    outputs = named_outputs(model)
    given = settings(model)
    for name in kinds or {}:
        if name not in outputs:
            raise UnknownName("output", name, outputs)
    losses = by_output(given.get("loss"), model, outputs, "loss")
    if kinds is None and not any(loss is not None for loss in losses.values()):
        missing = "is not compiled" if not given else "was compiled without a loss"
        raise InputError(
            f"pc.adopt(model) reads tasks from model.compile, but {model.name!r} {missing}: give tasks=[...], a task "
            f"for each output, or their kinds, {{{next(iter(outputs))!r}: 'regression', ...}}; outputs: "
            f"{listing(outputs)}."
        )
    weights = by_output(given.get("loss_weights"), model, outputs, "loss_weights")
    metrics = [
        by_output(given.get(each), model, outputs, each) for each in ("metrics", "weighted_metrics")
    ]
    walk, found = Walk(), []
    completed = dict(activations)
    tasks: list[Task] = []
    for name, tensor in outputs.items():
        wanted = (kinds or {}).get(name)
        if isinstance(wanted, Task):
            tasks.append(wanted)
            continue
        loss = losses.get(name)
        if loss is None and wanted is None:
            continue
        if wanted is not None and not isinstance(wanted, str):
            raise InputError(
                f"The kind of output {shorten(name)!r} is a {type(wanted).__name__}; expected a name such as "
                "'binary', or a task."
            )
        ending = walk.ending(column_of(name, tensor))
        if name in activations and ending.name is None:
            ending = Ending(activations[name])
        columns = tensor.shape[-1] if len(tensor.shape) == 2 else 1
        one = written(name, ending, columns, loss, weights.get(name), wanted)
        if standardize is None and loss is not None and one.kind in ("regression", "quantile"):
            # The weights of its losses, and the thresholds within them, are in the user's units.
            one.options["standardize"] = False
        kept = _metrics(one, [each.get(name) for each in metrics])
        if kept:
            one.options["metrics"] = kept
        if one.activation is not None:
            completed.setdefault(name, one.activation)
        found.append(one)
        tasks.append(one.task())
    text = (
        f"tasks=[{', '.join(map(str, found))}]" if found and given.get("loss") is not None else ""
    )
    return tasks, completed, text


def by_output(
    value: Any, model: keras.Model, outputs: Mapping[str, Any], argument: str
) -> dict[TaskName, Any]:
    """Return an argument of `compile` by output: dicts by name, lists in the order of the outputs.

    Raises:
        UnknownName: for a name that is no output.
        InputError: for a list where outputs have no order, or of another length.
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
        f"{name!r}: {_written(each) if each is not None else '...'}" for name, each in pairs
    )
    reason = (
        f"has {len(value)} entries for {len(names)} outputs"
        if in_order
        else "is a list, but the outputs are a dict, and Keras deals a list out in the sorted order of their names"
    )
    raise InputError(
        f"compile({argument}=...) {reason}: write {argument}={{{example}}}, as you mean it."
    )


def written(
    name: TaskName, ending: Ending, columns: int, loss: Any, weight: Any, kind: str | None
) -> Written:
    """Return the task of one output.

    Args:
        name: of the output.
        ending: what it ends in.
        columns: how many it has.
        loss: what `compile` says of it: one loss, or a list of several.
        weight: what it says of their weights.
        kind: where it was named.

    Raises:
        InputError: where the loss is of several kinds, or does not go with the end.
    """
    losses = [] if loss is None else list(loss) if isinstance(loss, list | tuple) else [loss]
    found = Written(kind or _kind(name, ending, columns, losses), name)
    if (
        found.kind == "multilabel"
        and kind is None
        and all(FAMILIES.get(_name(each)) == "regression" for each in losses)
    ):
        found.options["soft"] = True
    if ending.name is None:
        found.activation = _said_by(losses, found.kind)
    for each in losses:
        _check(name, ending, each, found.kind)
    several = isinstance(loss, list | tuple)
    parts = list(weight) if isinstance(weight, list | tuple) else [1.0] * len(losses)
    if several and len(parts) != len(losses):
        raise InputError(
            f"compile: output {shorten(name)!r} has {len(losses)} losses but {len(parts)} loss_weights; give one each."
        )
    smoothing = getattr(losses[0], "label_smoothing", 0.0) if len(losses) == 1 else 0.0
    plain = len(losses) == 1 and _name(losses[0]) in DEFAULTS.get(found.kind, ()) and parts == [1.0]
    if plain and not found.options.get("soft"):
        if smoothing and found.kind in ("binary", "multilabel", "multiclass"):
            found.options["label_smoothing"] = float(smoothing)
    elif losses:
        terms = [_loss(each) for each in losses]
        plain_names = all(isinstance(each, str) for each in terms) and len(
            set(map(str, terms))
        ) == len(terms)
        if len(terms) == 1 and parts == [1.0]:
            found.options["loss"] = terms[0]
        elif plain_names:
            found.options["loss"] = dict(zip(terms, map(float, parts), strict=True))
        else:
            found.options["loss"] = list(zip(terms, map(float, parts), strict=True))
    if isinstance(weight, int | float) and weight != 1.0:
        found.options["weight"] = float(weight)
    return found


def _kind(name: TaskName, ending: Ending, columns: int, losses: list[Any]) -> str:
    """Return the kind that losses and end show together.

    Raises:
        InputError: where they leave it open.
    """
    families = {FAMILIES.get(_name(each)) for each in losses}
    if families == {"binary"}:
        return "binary" if columns == 1 else "multilabel"
    if families == {"multiclass"} and columns > 1:
        return "multiclass"
    if families == {"margin"} and columns == 1 and ending.linear:
        return "binary"
    if families == {"count"} and ending.name in ("exponential", "softplus"):
        return "count"
    number = ending.linear or ending.name in ("relu", "softplus", "exponential")
    if columns == 1 and families <= {"regression", None} and (number or None not in families):
        return "regression"
    if families == {"regression"}:
        return "multilabel" if ending.name == "sigmoid" and not ending.changed else "regression"
    shown = listing(_written(each) if not isinstance(each, str) else each for each in losses)
    raise InputError(
        f"Which kind output {shorten(name)!r} is cannot be read from its loss {shown} and its "
        f"{columns} unit{'s' if columns > 1 else ''}, ending in {ending.text}: name it, "
        f"pc.adopt(model, {{{name!r}: 'regression', ...}}), or 'binary', 'proportion', 'multiclass', 'multilabel', "
        "'count', 'ordinal'."
    )


def _check(name: TaskName, ending: Ending, loss: Any, kind: str) -> None:
    """Raise where a loss cannot be right for an end, or is one that no row has a share of.

    Raises:
        InputError: with what to write.
    """
    if getattr(loss, "reduction", None) == "sum":
        raise InputError(
            f"The loss of output {shorten(name)!r} is a sum over the batch (reduction='sum'), which grows with the "
            "batch: leave reduction out, and multiply its loss_weights by the batch size."
        )
    family = FAMILIES.get(_name(loss))
    if family not in ("binary", "multiclass") or ending.name is None or kind not in DEFAULTS:
        return
    logits = _logits(loss)
    end = "sigmoid" if family == "binary" else "softmax"
    if ending.linear and not logits:
        raise InputError(
            f"The loss of output {shorten(name)!r} takes probabilities, but the output ends linear: end it in "
            f"{end!r}, or give the loss from_logits=True."
        )
    if ending.name in ("sigmoid", "softmax") and logits:
        raise InputError(
            f"The loss of output {shorten(name)!r} says from_logits=True, but the output ends in {ending.name!r}: "
            "leave one of the two out."
        )


def _said_by(losses: list[Any], kind: str) -> str | None:
    """Return what a hidden output ends in where its losses say so."""
    if any(_logits(each) for each in losses):
        return LINEAR
    return {
        "binary": "sigmoid",
        "proportion": "sigmoid",
        "multilabel": "sigmoid",
        "multiclass": "softmax",
    }.get(kind)


def _logits(loss: Any) -> bool:
    """Whether a loss says that it takes logits."""
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    return bool(config.get("from_logits", False))


def _name(loss: Any) -> str:
    """Return the name by which Keras knows a loss; empty for one of the user's own."""
    if isinstance(loss, str):
        return ALIASES.get(_snake(loss), _snake(loss))
    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        return _snake(kind.__name__) if kind.__module__.split(".")[0] == "keras" else ""
    module = str(getattr(loss, "__module__", "")).split(".")[0]
    return str(getattr(loss, "__name__", "")) if module == "keras" else ""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _loss(loss: Any) -> Any:
    """Return a loss as a task takes it: Keras's own with nothing set by their names."""
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
    """Return the settings of a loss of Keras that are not the usual ones."""
    usual = type(loss)().get_config()
    return {key: value for key, value in loss.get_config().items() if usual.get(key) != value}


def _metrics(one: Written, given: list[Any]) -> list[Any]:
    """Return the metrics that the kind takes; of the others a sentence says that they are left out."""
    flat = [each for each in keras.tree.flatten(given) if each is not None]
    kept: list[Any] = []
    left: list[str] = []
    for metric in flat:
        # by name it is a histogram's, not that of Keras
        if isinstance(metric, str) and metric.lower() == "auc":
            metric = keras.metrics.AUC(name=metric)
        try:
            kind_of(one.kind)(one.name, **one.options, metrics=[metric])
        except InputError:
            left.append(metric if isinstance(metric, str) else _written(metric))
            continue
        if metric not in kept:
            kept.append(metric)
    if left:
        import warnings

        warnings.warn(
            f"Output {shorten(one.name)!r} ({one.kind}) was compiled with the metrics {listing(left)}, which its kind "
            "does not have: they are left out.",
            stacklevel=5,
        )
    return kept


def _written(value: Any) -> str:
    """Return a value of an option as one would write it."""
    if isinstance(value, keras.losses.Loss | keras.metrics.Metric):
        kind = type(value)
        try:
            options = ", ".join(
                f"{key}={set_to!r}" for key, set_to in _set(value).items() if key != "name"
            )
        except Exception:  # a class of someone's own that needs arguments
            options = "..."
        room = "losses" if isinstance(value, keras.losses.Loss) else "metrics"
        return (
            f"keras.{room}.{kind.__name__}({options})"
            if _name(value)
            else f"{kind.__name__}({options})"
        )
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_written, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return str(getattr(value, "__name__", None) or repr(value)) if callable(value) else repr(value)
