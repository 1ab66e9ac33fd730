"""Read what callbacks watch in an epoch: metrics of tasks, or numbers in the logs of Keras."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np

from polycera.callbacks.validation_rows import validation_labels
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.model import variables
from polycera.model.scores import Score
from polycera.tasks.metrics.keras_metrics import direction_of, ideal_of, metric_of_loss, trivial_of
from polycera.tasks.terms import factor
from polycera.typing import TaskName

VAL = "val_"
"""Prefix of validation metrics in the logs of Keras."""

LOGGING = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
"""Methods of `keras.Model` that decide what is logged."""

NO_LIMIT = {"max": math.inf, "min": -math.inf}
"""Ideal of a metric, by direction, where only the direction is known."""


@dataclass(frozen=True)
class Given:
    """Holds what the user declares about metrics that Keras and polycera do not know.

    Each attribute maps a name in the logs to a value.

    Attributes:
        mode: `"max"` or `"min"`.
        trivial: the metric of a constant prediction.
        ideal: the metric of a perfect prediction.
    """

    mode: Mapping[str, str] = field(default_factory=dict)
    trivial: Mapping[str, float] = field(default_factory=dict)
    ideal: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, mode: Any, trivial: Any, ideal: Any) -> Given:
        """Check the three arguments and return them as one object.

        Raises:
            InputError: for an argument that is no dict, a mode other than "max" and "min", or a
                number that is not finite.
        """
        for argument, values in (("mode", mode), ("trivial", trivial), ("ideal", ideal)):
            if values is not None and not isinstance(values, Mapping):
                raise InputError(
                    f"{argument}= is a dict from the name of a metric to its value, got "
                    f"{shorten(repr(values))}."
                )
        for name, direction in (mode or {}).items():
            if direction not in NO_LIMIT:
                raise InputError(
                    f"mode= of {shorten(name)!r} is 'max' or 'min', got {shorten(repr(direction))}."
                )
        for argument, numbers in (("trivial", trivial or {}), ("ideal", ideal or {})):
            for name, number in numbers.items():
                # bool is a subclass of int, so it has to be refused first
                if (
                    isinstance(number, bool)
                    or not isinstance(number, int | float)
                    or not math.isfinite(number)
                ):
                    raise InputError(
                        f"{argument}= of {shorten(name)!r} is a finite number, got "
                        f"{shorten(repr(number))}."
                    )
        return cls(dict(mode or {}), dict(trivial or {}), dict(ideal or {}))

    def __bool__(self) -> bool:
        return bool(self.mode or self.trivial or self.ideal)


def watch(
    model: Any, weights: Any, purpose: str, declared: Given | None = None, needs: Sequence[str] = ()
) -> Any:
    """Return an object that reads the watched metrics of this model.

    Args:
        model: a `pc.Model`, or any other Keras model.
        weights: name -> weight; a list of weights in the order of the outputs, where these are a
            list; or None.
        purpose: what the weights are for, as error messages call it.
        declared: what the user declares about single metrics.
        needs: which of "trivial" and "ideal" the scale cannot do without.

    Returns:
        A `TaskWatch` or a `LogWatch`.

    Raises:
        UnknownName, InputError: for names, weights or metrics that cannot be watched.
    """
    declared = declared or Given()
    if has_tasks(model):
        if declared:
            raise InputError(
                f"mode=, trivial= and ideal= of the {purpose} are for names in the logs of a Keras "
                "model; the metrics of tasks have theirs already: leave them out."
            )
        return TaskWatch(model, weights, purpose)
    return LogWatch(model, weights, purpose, declared, needs)


def has_tasks(model: Any) -> bool:
    """Return whether a model is one of polycera's."""
    return hasattr(model, "tasks") and hasattr(model, "scores")


def needs_tasks(model: Any, purpose: str, instead: str = "") -> None:
    """Raise an error for a model of stock Keras.

    Args:
        model: any Keras model.
        purpose: the class that needs tasks, as the message calls it.
        instead: a sentence on what to use with a stock Keras model.

    Raises:
        InputError: where the model has no tasks.
    """
    if not has_tasks(model):
        hint = f" {instead}" if instead else ""
        raise InputError(
            f"{purpose} works in the fit of a pc.Model, and "
            f"{shorten(getattr(model, 'name', 'this model'), 40)!r} is a {type(model).__name__} of "
            f"Keras: pc.adopt(model, tasks) makes a pc.Model of it.{hint}"
        )


class TaskWatch:
    """Reads metrics of tasks: values, trivial values and ideals come from the model's scores.

    Attributes:
        weights: (task, metric) -> weight.
    """

    def __init__(self, model: Any, weights: Any, purpose: str) -> None:
        tasks = model.tasks
        if isinstance(weights, list | tuple):
            weights = listed(weights, getattr(model, "output_order", None), list(tasks), purpose)
        if weights is None:
            weights = dict.fromkeys(tasks, 1.0)
        self.weights = watched(weights, tasks, purpose)
        self.model = model

    @property
    def names(self) -> tuple[TaskName, ...]:
        """Return the tasks, as `patience` and `reference` call them."""
        return tuple(task for task, _ in self.weights)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the tasks, as logs call them."""
        return self.names

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return what is watched, as warnings call it."""
        return tuple(f"Task {shorten(task)!r}: {metric}" for task, metric in self.weights)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return the (task, metric) pairs, as files of stored epochs call them."""
        return list(self.weights)

    def measured(self, logs: Any) -> bool:
        """Return whether this epoch had validation rows."""
        # not any(startswith("val_")): a task's own name may begin with val_
        return logs is not None and "val_loss" in logs

    def read(self, logs: Any) -> list[Any]:
        """Return the watched scores of the epoch, in the order of the names."""
        return [self.model.scores[task][metric] for task, metric in self.weights]

    def scores(self, readings: list[Any]) -> Mapping[str, Mapping[str, Any]]:
        """Return all scores of the epoch: task -> metric -> score."""
        return self.model.scores


class LogWatch:
    """Reads numbers in the logs of a Keras model that has no tasks.

    Directions and ideals come from the compiled metric objects behind the names. Trivial values
    come from the labels of the validation rows. What is not known there, the user has to give.
    """

    def __init__(
        self, model: Any, weights: Any, purpose: str, declared: Given, needs: Sequence[str]
    ) -> None:
        self.model, self.purpose, self.declared, self.needs = model, purpose, declared, tuple(needs)
        self._given_weights = weights
        # empty until the names are known: on TensorFlow a list of weights gets its names with the
        # first batch, because Keras builds its metrics only then
        self._weights: dict[str, float] = {}
        self._keys: dict[str, str] = {}
        self._constant: dict[str, tuple[float, float, str]] = {}
        self._compiled = _compiled(model)
        if self._compiled is not None or not isinstance(weights, list | tuple):
            self._name_weights([])
        if self._compiled is not None:
            self._resolve(self._compiled)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names as the user wrote them."""
        return tuple(self._weights)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the names in the logs of training, without the prefix `val_`."""
        return tuple(name.removeprefix(VAL) for name in self._weights)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return what is watched, as warnings call it."""
        return tuple(repr(shorten(name)) for name in self._weights)

    @property
    def weights(self) -> dict[str, float]:
        """Return name -> weight."""
        return self._weights

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return the (name, "value") pairs, as files of stored epochs call them."""
        return [(name, "value") for name in self._weights]

    def measured(self, logs: Any) -> bool:
        """Return whether this epoch had validation rows."""
        return logs is not None and any(name.startswith(VAL) for name in logs)

    def first_batch(self) -> None:
        """Resolve the names once Keras has built its metrics, on TensorFlow in the first batch."""
        if not self._keys and self._compiled is None:
            self._compiled = _compiled(self.model)
            if self._compiled is not None:
                self._name_weights([])
                self._resolve(self._compiled)

    def _name_weights(self, logged: Sequence[str]) -> None:
        """Assign a name to each weight.

        Args:
            logged: names in the logs, where there are some already.

        Raises:
            InputError: where there are no weights, or a list of them for outputs that go by name.
        """
        weights = self._given_weights
        if isinstance(weights, list | tuple):
            weights = self._listed(weights, logged)
        if not weights:
            raise InputError(
                f"The {self.purpose} needs the names to watch, because this model has no tasks: "
                f"give a weight for each, such as {self._example()}."
            )
        self._weights = {
            str(name): factor(value, f"the weight of {shorten(name)!r}")
            for name, value in weights.items()
        }

    def read(self, logs: Any) -> list[Score]:
        """Return the watched numbers of the epoch, in the order of the names.

        Raises:
            UnknownName, InputError: in the first epoch, for a name that is not in the logs, or
                whose direction, ideal or trivial value is needed and not known.
        """
        if not self._constant:
            try:
                self._settle(logs)
            except InputError:
                # on JAX, Keras holds the trained values outside of the model during `fit`: without
                # this the error would lose the first epoch
                variables.settle(self.model)
                raise
        readings = []
        for name in self._weights:
            trivial, ideal, direction = self._constant[name]
            value = logs.get(self._keys[name], math.nan)
            readings.append(Score(_number(name, value), trivial, ideal, direction))
        return readings

    def scores(self, readings: list[Score]) -> dict[str, dict[str, Score]]:
        """Return what is watched: name -> "value" -> reading."""
        return {
            name: {"value": reading} for name, reading in zip(self._weights, readings, strict=True)
        }

    # -- names -------------------------------------------------------------------------------------

    def _resolve(self, compiled: Mapping[str, Any]) -> None:
        """Check the names against those that Keras will log, before the first step runs."""
        for name in self._weights:
            key = name if name in compiled else name.removeprefix(VAL)
            if key in compiled:
                self._keys[name] = VAL + key
                self._direction(name, compiled[key])
                if "ideal" in self.needs:
                    self._ideal(name, compiled[key])
                if (
                    "trivial" in self.needs
                    and name not in self.declared.trivial
                    and compiled[key].object is None
                ):
                    raise self._asks_trivial(name)
            elif name in self.declared.mode or name in self.declared.ideal:
                # not a metric of the model: a callback of the user is expected to log it
                self._keys[name] = name
                self._direction(name, None)
            else:
                raise self._unknown(name, [VAL + known for known in compiled])
        if len(set(self._keys.values())) < len(self._keys):
            raise InputError(f"The {self.purpose} names a metric twice: {listing(self._weights)}.")

    def _unknown(self, name: str, known: Sequence[str]) -> UnknownName:
        """Return the error for a name that is not in the logs."""
        known = list(known) if name.startswith(VAL) else [key.removeprefix(VAL) for key in known]
        hint = f"needs its direction: mode={{{shorten(name, 40)!r}: 'max'}} or 'min'."
        if name in self.declared.mode or name in self.declared.ideal:
            hint = "has to be in the logs before this callback reads them: put that callback first."
        return UnknownName(
            f"name in the {self.purpose}:",
            name,
            known,
            f"A number that a callback of your own logs {hint}",
        )

    def _settle(self, logs: Mapping[str, Any]) -> None:
        """Find every name in the logs of the first epoch, with its trivial value and ideal."""
        self._compiled = compiled = self._compiled or _compiled(self.model) or {}
        if not self._weights:
            self._name_weights([name for name in logs if name.startswith(VAL)])
        labels: Any = None
        constants: dict[str, tuple[float, float, str]] = {}
        for name in self._weights:
            # the name that `_resolve` found comes first, then validation before training
            candidates = [self._keys.get(name, name), VAL + name, name]
            key = next((candidate for candidate in candidates if candidate in logs), None)
            if key is None:
                raise self._unknown(
                    name, [candidate for candidate in logs if candidate.startswith(VAL)]
                )
            self._keys[name] = key
            plain = key.removeprefix(VAL)
            metric = compiled.get(plain)
            direction = self._direction(name, metric)
            ideal = (
                self._ideal(name, metric)
                if "ideal" in self.needs
                else self._ideal_or_none(name, metric, direction)
            )
            trivial = self.declared.trivial.get(name, math.nan)
            if math.isnan(trivial) and "trivial" in self.needs:
                labels = validation_labels(self.model) if labels is None else labels
                trivial = self._trivial(name, plain, metric, labels)
            constants[name] = (float(trivial), float(ideal), direction)
        self._constant = constants

    # -- direction, ideal and trivial value --------------------------------------------------------

    def _direction(self, name: str, metric: Any) -> str:
        """Return "max" or "min" for a name; the user's `mode` comes before the metric's own.

        Raises:
            InputError: where neither is known.
        """
        direction = self.declared.mode.get(name) or (metric.way if metric is not None else None)
        if direction is None:
            short = shorten(name, 40)
            missing = [
                f"{argument}={{{short!r}: ...}}"
                for argument in self.needs
                if name not in getattr(self.declared, argument)
            ]
            hint = (
                f", and {' and '.join(missing)} (scale='minmax' needs neither)" if missing else ""
            )
            raise InputError(
                f"Whether a higher or a lower {short!r} is better is not known: give "
                f"mode={{{short!r}: 'max'}} or 'min'{hint}."
            )
        return direction

    def _ideal(self, name: str, metric: Any) -> float:
        """Return the value of a perfect prediction.

        Raises:
            InputError: where it is not known.
        """
        ideal = self.declared.ideal.get(name, metric.ideal if metric is not None else None)
        if ideal is None:
            raise InputError(
                f"The value of {shorten(name)!r} for a perfect prediction is not known: give "
                f"ideal={{{shorten(name, 40)!r}: ...}}, or scale='minmax', which needs none."
            )
        return float(ideal)

    def _ideal_or_none(self, name: str, metric: Any, way: str) -> float:
        """Return the value of a perfect prediction; infinite where it is not known."""
        ideal = self.declared.ideal.get(name, metric.ideal if metric is not None else None)
        return NO_LIMIT[way] if ideal is None else float(ideal)

    def _trivial(self, name: str, plain: str, metric: Any, labels: Any) -> float:
        """Return the value of the best constant prediction on the validation labels.

        Raises:
            InputError: where it cannot be computed.
        """
        metric_object = metric.object if metric is not None else None
        index = _output(self.model, plain, metric_object)
        if metric_object is None or labels is None or index is None:
            raise self._asks_trivial(name)
        value = trivial_of(
            metric_object, _labels_of(self.model, labels, index), _output_columns(self.model, index)
        )
        if value is None:
            raise self._asks_trivial(name)
        return value

    def _asks_trivial(self, name: str) -> InputError:
        """Return the error that asks the user for the trivial value of a name."""
        short = shorten(name, 40)
        return InputError(
            f"The value of {short!r} for a constant prediction is not known: give "
            f"trivial={{{short!r}: ...}}, or scale='first' (0 is the first epoch) or "
            "scale='minmax' (0 the worst epoch), which need none."
        )

    # -- lists and examples ------------------------------------------------------------------------

    def _per_output(self) -> list[str] | None:
        """Return the first metric of each output in the validation logs; None if one has none."""
        first_metrics = []
        for index in range(len(_logged_outputs(self.model))):
            names = [
                name
                for name, metric in (self._compiled or {}).items()
                if not metric.is_loss and _output(self.model, name, metric.object) == index
            ]
            if not names:
                return None
            first_metrics.append(VAL + names[0])
        return first_metrics or None

    def _listed(self, weights: Sequence[Any], logged: Sequence[str]) -> dict[str, Any]:
        """Return a list of weights as a dict, or raise the error that shows the dict to write."""
        names = self._per_output()
        is_list = (
            isinstance(getattr(self.model, "output", None), list | tuple) or len(names or []) == 1
        )
        order = names if is_list else None
        return listed(
            weights,
            order,
            names or [VAL + name for name in self._compiled or {}] or logged,
            self.purpose,
        )

    def _example(self) -> str:
        """Return a dict of weights as text, with names of this model where they are known."""
        names = self._per_output() or [
            VAL + name for name in self._compiled or {} if name != "loss"
        ]
        return shorten(
            repr(dict.fromkeys(names[:4] or ["val_churn_auc", "val_price_mae"], 0.5)), 160
        )


class Compiled(NamedTuple):
    """Describes a name that Keras logs.

    Attributes:
        object: the metric behind it, or None.
        way: `"max"`, `"min"` or None.
        ideal: the metric of a perfect prediction, or None.
        is_loss: whether it is a loss; its object is then the metric that measures the same, or
            None.
    """

    object: Any
    way: str | None
    ideal: float | None
    is_loss: bool = False


def _compiled(model: Any) -> dict[str, Compiled] | None:
    """Return the names that a compiled model will log; None where that cannot be known yet."""
    if any(getattr(type(model), name, None) is not getattr(keras.Model, name) for name in LOGGING):
        return None  # an overridden step may log any names
    logged: dict[str, Compiled] = {}
    try:
        losses = _losses(model)
        for metric in model.metrics:
            inner = getattr(metric, "metrics", None)
            if not isinstance(inner, list):
                logged[metric.name] = _known(metric)
                if _is_loss(metric):
                    logged[metric.name] = Compiled(
                        losses.get(metric.name), "min", 0.0, is_loss=True
                    )
                continue
            names = list(metric.result())  # ValueError where the metric is not built yet
            if len(names) != len(inner):
                return None
            logged |= {
                name: _known(inner_metric) for name, inner_metric in zip(names, inner, strict=True)
            }
    except Exception:  # a metric that the user wrote may raise anything here
        return None
    return logged


def _losses(model: Any) -> dict[str, Any]:
    """Return names of losses in the logs -> Keras metrics that measure the same, where known."""
    outputs = _logged_outputs(model)
    given = getattr(model, "loss", None)
    # with one output Keras logs no loss per output, only "loss"
    if len(outputs) == 1:
        only_loss = given if not isinstance(given, list | tuple | dict) else None
        return {"loss": metric_of_loss(only_loss)} if only_loss is not None else {}
    by_name = given if isinstance(given, Mapping) else {}
    if isinstance(given, list | tuple) and len(given) == len(outputs):
        by_name = dict(zip(outputs, given, strict=True))
    return {
        f"{name}_loss": metric_of_loss(loss) for name, loss in by_name.items() if loss is not None
    }


def _is_loss(metric: Any) -> bool:
    """Return whether this is the `Mean` in which Keras adds up a loss."""
    return type(metric) is keras.metrics.Mean and (
        metric.name == "loss" or metric.name.endswith("_loss")
    )


def _known(metric: Any) -> Compiled:
    """Return a metric with what is known about it."""
    return Compiled(metric, direction_of(metric), ideal_of(metric))


def _logged_outputs(model: Any) -> list[str]:
    """Return the names of the outputs in the logs: dict keys, else the names of their layers."""
    output = getattr(model, "output", None) if getattr(model, "outputs", None) else None
    if isinstance(output, Mapping):
        paths = [path for path, _ in keras.tree.flatten_with_path(output)]
        return [".".join(map(str, path)) for path in paths]
    return list(getattr(model, "output_names", None) or ["output"])


def _output(model: Any, name: str, metric: Any) -> int | None:
    """Return the index of the output that a metric belongs to, found by its name."""
    outputs = _logged_outputs(model)
    if len(outputs) == 1:
        return 0
    fits = [
        i
        for i, output in enumerate(outputs)
        if metric is not None and name.startswith(f"{output}_{metric.name}")
    ]
    # outputs "a" and "a_b": the name "a_b_auc" fits both, and the longer output is the right one
    return max(fits, key=lambda i: len(outputs[i])) if fits else None


def _labels_of(model: Any, labels: Any, index: int) -> np.ndarray:
    """Return the labels of one output."""
    if isinstance(labels, Mapping):
        name, layer = _logged_outputs(model)[index], model.output_names[index]
        return labels[name] if name in labels else labels[layer]
    return list(labels)[index] if isinstance(labels, list | tuple) else labels


def _output_columns(model: Any, index: int) -> int:
    """Return the number of columns of one output."""
    outputs = getattr(model, "outputs", None)
    return int(outputs[index].shape[-1] or 1) if outputs and len(outputs[index].shape) > 1 else 1


def _number(name: str, value: Any) -> float:
    """Return a value of the logs as a number.

    Raises:
        InputError: for a vector, which `F1Score()` without an average returns.
    """
    array = np.asarray(keras.ops.convert_to_numpy(value), "float64")
    if array.size != 1:
        raise InputError(
            f"{shorten(name)!r} in the logs is not a single number but an array of shape "
            f"{list(array.shape)}: a metric with an average, such as F1Score(average='macro'), "
            "gives one."
        )
    return float(array.reshape(()))


def listed(
    values: Sequence[Any], order: Sequence[str] | None, names: Sequence[str], purpose: str
) -> dict[str, Any]:
    """Return a list as a dict, where the outputs of the model are a list too.

    Args:
        values: one for each output.
        order: the names in the order of the outputs; None where the outputs are no list.
        names: the names that the error message shows.
        purpose: what the list is for, as error messages call it.

    Raises:
        InputError: where the outputs are no list, or their number differs from that of the values;
            the message shows the dict to write.
    """
    if order is not None and len(values) == len(order):
        return dict(zip(order, values, strict=True))
    names = order or names
    shown = ", ".join(
        f"{shorten(name, 40)!r}: {_shown(value)}"
        for name, value in zip(names, [*values, *["..."] * len(names)], strict=False)
    )
    count = "" if len(values) == len(names) else f" of {len(values)} for {len(names)} names"
    raise InputError(
        f"The {purpose} must be given by name, got a list{count}: write {{{shorten(shown, 200)}}}."
    )


def _shown(value: Any) -> str:
    """Return a value as an error message shows it: numbers and names as they are, else dots."""
    return repr(value) if isinstance(value, int | float | str) and value != "..." else "..."


def watched(
    weights: Mapping[str, float], tasks: Mapping[TaskName, Any], purpose: str
) -> dict[tuple[TaskName, str], float]:
    """Return (task, metric) -> weight from `task` or `task/metric` -> weight.

    Args:
        weights: name -> weight.
        tasks: the tasks of the model by name.
        purpose: what the weights are for, as error messages call it.

    Raises:
        UnknownName: for a task or metric that the model does not have.
        InputError: for a task that is named twice, or a metric without a known direction.
    """
    pairs = [_metric(name, tasks, purpose) for name in weights]
    names = [task for task, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(
            f"The {purpose} names a task twice: {listing(names)}; give each one metric."
        )
    return dict(zip(pairs, map(float, weights.values()), strict=True))


def _metric(name: str, tasks: Mapping[TaskName, Any], purpose: str) -> tuple[TaskName, str]:
    """Return (task, metric) for `task`, `task/metric`, or a Keras log name, `val_task_metric`."""
    if name in tasks:
        return name, tasks[name].headline
    logged = _logged(tasks)
    for known in (name, name.removeprefix(VAL)):
        if known in logged:
            _check_comparable(tasks[logged[known][0]], logged[known][1])
            return logged[known]
    task, _, metric = name.rpartition("/")
    if task not in tasks:
        raise UnknownName(f"task in the {purpose}:", name, tasks)
    raise UnknownName(
        f"metric of task {shorten(task)!r} in the {purpose}:", metric, _metrics_of(tasks[task])
    )


def _metrics_of(task: Any) -> tuple[str, ...]:
    """Return the names of the metrics of a task, those of metric objects included."""
    return tuple(getattr(task, "metric_names", task.metrics))


def _check_comparable(task: Any, metric: str) -> None:
    """Raise an error for a metric object whose direction or ideal is not known.

    Raises:
        InputError: naming the metric and its task.
    """
    metric_object = next(
        (
            candidate
            for candidate in getattr(task, "metric_objects", ())
            if candidate.name == metric
        ),
        None,
    )
    if metric_object is not None and (
        direction_of(metric_object) is None or ideal_of(metric_object) is None
    ):
        raise InputError(
            f"Whether a higher or a lower value of metric {shorten(metric)!r} of task "
            f"{shorten(task.name)!r} is better is not known, so it has no skill: watch another "
            "metric, or derive it from a similar metric of Keras."
        )


def _logged(tasks: Mapping[TaskName, Any]) -> dict[str, tuple[TaskName, str]]:
    """Return log names -> (task, metric), both as polycera and as stock Keras write them."""
    pairs: dict[str, tuple[TaskName, str]] = {}
    for task in tasks:
        for metric in _metrics_of(tasks[task]):
            pairs |= {f"{task}_{metric}": (task, metric), f"{task}/{metric}": (task, metric)}
            if len(tasks) == 1:
                pairs[metric] = (task, metric)
    return pairs
