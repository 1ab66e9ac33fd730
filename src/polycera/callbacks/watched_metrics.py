"""What a callback watches in an epoch: metrics of a model's tasks, or numbers in the logs of any Keras model."""

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
from polycera.tasks.metrics import skill
from polycera.tasks.metrics.keras_metrics import direction_of, ideal_of, metric_of_loss, trivial_of
from polycera.tasks.terms import factor
from polycera.typing import TaskName

VAL = "val_"
LOGGING = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
"""Methods of `keras.Model` that decide what is logged."""
NO_LIMIT = {"max": math.inf, "min": -math.inf}
"""The ideal of a metric of which only the direction is known."""


class Reading(NamedTuple):
    """One watched metric in one epoch.

    Attributes:
        value: as measured on the validation rows.
        trivial: what a constant answer reaches there; NaN where it is not needed.
        ideal: what a perfect answer reaches; infinite where only the direction is known.
        direction: `max`, `min` or `target`.
    """

    value: float
    trivial: float
    ideal: float
    direction: str

    @property
    def skill(self) -> float:
        """0 the trivial predictor, 1 perfect, below 0 worse than trivial; NaN where undefined."""
        return float(skill(self.value, self.trivial, self.ideal))


@dataclass(frozen=True)
class Given:
    """What the user says of metrics that Keras and polycera know too little of: name in the logs -> value.

    Attributes:
        mode: `"max"` or `"min"`.
        trivial: what a constant answer reaches.
        ideal: what a perfect answer reaches.
    """

    mode: Mapping[str, str] = field(default_factory=dict)
    trivial: Mapping[str, float] = field(default_factory=dict)
    ideal: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, mode: Any, trivial: Any, ideal: Any) -> Given:
        """Check what was given.

        Raises:
            InputError: for what is no dict, a mode other than "max" and "min", or a number that is
                not finite.
        """
        for argument, values in (("mode", mode), ("trivial", trivial), ("ideal", ideal)):
            if values is not None and not isinstance(values, Mapping):
                raise InputError(
                    f"{argument}= is a dict from the name of a metric to its value, got {shorten(repr(values))}."
                )
        for name, way in (mode or {}).items():
            if way not in NO_LIMIT:
                raise InputError(
                    f"mode= of {shorten(name)!r} is 'max' or 'min', got {shorten(repr(way))}."
                )
        for argument, numbers in (("trivial", trivial or {}), ("ideal", ideal or {})):
            for name, number in numbers.items():
                if (
                    isinstance(number, bool)
                    or not isinstance(number, int | float)
                    or not math.isfinite(number)
                ):
                    raise InputError(
                        f"{argument}= of {shorten(name)!r} is a finite number, got {shorten(repr(number))}."
                    )
        return cls(dict(mode or {}), dict(trivial or {}), dict(ideal or {}))

    def __bool__(self) -> bool:
        return bool(self.mode or self.trivial or self.ideal)


def watch(
    model: Any, weights: Any, what: str, given: Given | None = None, needs: Sequence[str] = ()
) -> Any:
    """Return what is to be watched in this model.

    Args:
        model: a `pc.Model`, or any other Keras model.
        weights: name -> weight; a list of weights in the order of the outputs, where these are a
            list; or None.
        what: what the weights are for, as errors call it.
        given: what the user says of single metrics.
        needs: of "trivial" and "ideal" those without which there is no scale.

    Returns:
        A `TaskWatch` or a `LogWatch`.

    Raises:
        UnknownName, InputError: for names, weights or metrics that cannot be watched.
    """
    given = given or Given()
    if has_tasks(model):
        if given:
            raise InputError(
                f"mode=, trivial= and ideal= of the {what} are for names in the logs of a Keras model; the metrics of "
                f"tasks know theirs: leave them out."
            )
        return TaskWatch(model, weights, what)
    return LogWatch(model, weights, what, given, needs)


def has_tasks(model: Any) -> bool:
    """Whether a model is one of polycera's."""
    return hasattr(model, "tasks") and hasattr(model, "scores")


def needs_tasks(model: Any, what: str, instead: str = "") -> None:
    """Refuse a model of stock Keras in one sentence.

    Raises:
        InputError: where the model has no tasks.
    """
    if not has_tasks(model):
        hint = f" {instead}" if instead else ""
        raise InputError(
            f"{what} works in the fit of a pc.Model, and {shorten(getattr(model, 'name', 'this model'), 40)!r} is a "
            f"{type(model).__name__} of Keras: pc.adopt(model, tasks) makes a pc.Model of it.{hint}"
        )


class TaskWatch:
    """Metrics of tasks: values, trivial values and ideals come from the model's scores.

    Attributes:
        weights: (task, metric) -> weight.
    """

    def __init__(self, model: Any, weights: Any, what: str) -> None:
        tasks = model.tasks
        if isinstance(weights, list | tuple):
            weights = listed(weights, getattr(model, "output_order", None), list(tasks), what)
        if weights is None:
            weights = dict.fromkeys(tasks, 1.0)
        self.weights = watched(weights, tasks, what)
        self.model = model

    @property
    def names(self) -> tuple[TaskName, ...]:
        """The tasks, as patience and references call them."""
        return tuple(task for task, _ in self.weights)

    @property
    def keys(self) -> tuple[str, ...]:
        """The tasks, as logs call them."""
        return self.names

    @property
    def metrics(self) -> tuple[str, ...]:
        """How sentences call what is watched."""
        return tuple(f"Task {shorten(task)!r}: {metric}" for task, metric in self.weights)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(task, metric), as files of kept epochs call them."""
        return list(self.weights)

    def measured(self, logs: Any) -> bool:
        """Whether this epoch had validation rows."""
        return logs is not None and "val_loss" in logs  # a task's own name may begin with val_

    def read(self, logs: Any) -> list[Any]:
        """What the epoch measured, in the order of the names."""
        return [self.model.scores[task][metric] for task, metric in self.weights]

    def scores(self, readings: list[Any]) -> Mapping[str, Mapping[str, Any]]:
        """All that the epoch measured: task -> metric -> score."""
        return self.model.scores


class LogWatch:
    """Numbers in the logs of a Keras model that has no tasks.

    Directions and ideals come from the compiled metric objects behind the names, trivial values
    from the labels of the validation rows; what is not known there is asked for.
    """

    def __init__(
        self, model: Any, weights: Any, what: str, given: Given, needs: Sequence[str]
    ) -> None:
        self.model, self.what, self.given, self.needs = model, what, given, tuple(needs)
        self._given_weights = weights
        # a list gets its names with the first batch, on TensorFlow
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
        """The names as they were given."""
        return tuple(self._weights)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names in the logs of training."""
        return tuple(name.removeprefix(VAL) for name in self._weights)

    @property
    def metrics(self) -> tuple[str, ...]:
        """How sentences call what is watched."""
        return tuple(repr(shorten(name)) for name in self._weights)

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight."""
        return self._weights

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(name, "value"), as files of kept epochs call them."""
        return [(name, "value") for name in self._weights]

    def measured(self, logs: Any) -> bool:
        """Whether this epoch had validation rows."""
        return logs is not None and any(name.startswith(VAL) for name in logs)

    def first_batch(self) -> None:
        """Look at the names once Keras has made its metrics, on TensorFlow in the first batch."""
        if not self._keys and self._compiled is None:
            self._compiled = _compiled(self.model)
            if self._compiled is not None:
                self._name_weights([])
                self._resolve(self._compiled)

    def _name_weights(self, logged: Sequence[str]) -> None:
        """Give each weight its name.

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
                f"The {self.what} needs the names to watch, for this model has no tasks: give a weight for each, "
                f"such as {self._example()}."
            )
        self._weights = {
            str(name): factor(value, f"the weight of {shorten(name)!r}")
            for name, value in weights.items()
        }

    def read(self, logs: Any) -> list[Reading]:
        """What the epoch measured, in the order of the names.

        Raises:
            UnknownName, InputError: in the first epoch, for what is not in the logs or not known
                enough of.
        """
        if not self._constant:
            try:
                self._settle(logs)
            except InputError:
                variables.settle(self.model)  # on JAX: what was trained so far is not lost
                raise
        readings = []
        for name in self._weights:
            trivial, ideal, way = self._constant[name]
            value = logs.get(self._keys[name], math.nan)
            readings.append(Reading(_number(name, value), trivial, ideal, way))
        return readings

    def scores(self, readings: list[Reading]) -> dict[str, dict[str, Reading]]:
        """What is watched: name -> "value" -> reading."""
        return {name: {"value": one} for name, one in zip(self._weights, readings, strict=True)}

    # -- names -----------------------------------------------------------------------------------------------------

    def _resolve(self, compiled: Mapping[str, Any]) -> None:
        """Hold the names against those that Keras will log, before the training costs anything."""
        for name in self._weights:
            key = name if name in compiled else name.removeprefix(VAL)
            if key in compiled:
                self._keys[name] = VAL + key
                self._direction(name, compiled[key])
                if "ideal" in self.needs:
                    self._ideal(name, compiled[key])
                if (
                    "trivial" in self.needs
                    and name not in self.given.trivial
                    and compiled[key].object is None
                ):
                    raise self._asks_trivial(name)
            elif name in self.given.mode or name in self.given.ideal:
                # logged by a callback of the user's own
                self._keys[name] = name
                self._direction(name, None)
            else:
                raise self._unknown(name, [VAL + known for known in compiled])
        if len(set(self._keys.values())) < len(self._keys):
            raise InputError(f"The {self.what} names a metric twice: {listing(self._weights)}.")

    def _unknown(self, name: str, known: Sequence[str]) -> UnknownName:
        known = list(known) if name.startswith(VAL) else [key.removeprefix(VAL) for key in known]
        hint = f"needs its direction: mode={{{shorten(name, 40)!r}: 'max'}} or 'min'."
        if name in self.given.mode or name in self.given.ideal:
            hint = "has to be in the logs before this callback reads them: put that callback first."
        return UnknownName(
            f"name in the {self.what}:",
            name,
            known,
            f"A number that a callback of your own logs {hint}",
        )

    def _settle(self, logs: Mapping[str, Any]) -> None:
        """In the first epoch: find every name in the logs, and all that is known of it."""
        self._compiled = compiled = self._compiled or _compiled(self.model) or {}
        if not self._weights:
            self._name_weights([name for name in logs if name.startswith(VAL)])
        labels: Any = None
        found: dict[str, tuple[float, float, str]] = {}
        for name in self._weights:
            wanted = [self._keys.get(name, name), VAL + name, name]
            key = next((each for each in wanted if each in logs), None)
            if key is None:
                raise self._unknown(name, [each for each in logs if each.startswith(VAL)])
            self._keys[name] = key
            plain = key.removeprefix(VAL)
            metric = compiled.get(plain)
            way = self._direction(name, metric)
            ideal = (
                self._ideal(name, metric)
                if "ideal" in self.needs
                else self._ideal_or_none(name, metric, way)
            )
            trivial = self.given.trivial.get(name, math.nan)
            if math.isnan(trivial) and "trivial" in self.needs:
                labels = validation_labels(self.model) if labels is None else labels
                trivial = self._trivial(name, plain, metric, labels)
            found[name] = (float(trivial), float(ideal), way)
        self._constant = found

    # -- what is known of a metric ---------------------------------------------------------------------------------

    def _direction(self, name: str, metric: Any) -> str:
        way = self.given.mode.get(name) or (metric.way if metric is not None else None)
        if way is None:
            short = shorten(name, 40)
            more = [
                f"{what}={{{short!r}: ...}}"
                for what in self.needs
                if name not in getattr(self.given, what)
            ]
            also = f", and {' and '.join(more)} (scale='minmax' needs neither)" if more else ""
            raise InputError(
                f"Which way {short!r} is better is not known: give mode={{{short!r}: 'max'}} or 'min'{also}."
            )
        return way

    def _ideal(self, name: str, metric: Any) -> float:
        ideal = self.given.ideal.get(name, metric.ideal if metric is not None else None)
        if ideal is None:
            raise InputError(
                f"The value of {shorten(name)!r} for a perfect answer is not known: give "
                f"ideal={{{shorten(name, 40)!r}: ...}}, or scale='minmax', which needs none."
            )
        return float(ideal)

    def _ideal_or_none(self, name: str, metric: Any, way: str) -> float:
        ideal = self.given.ideal.get(name, metric.ideal if metric is not None else None)
        return NO_LIMIT[way] if ideal is None else float(ideal)

    def _trivial(self, name: str, plain: str, metric: Any, labels: Any) -> float:
        own = metric.object if metric is not None else None
        index = _output(self.model, plain, own)
        if own is None or labels is None or index is None:
            raise self._asks_trivial(name)
        value = trivial_of(own, _labels_of(self.model, labels, index), _units(self.model, index))
        if value is None:
            raise self._asks_trivial(name)
        return value

    def _asks_trivial(self, name: str) -> InputError:
        short = shorten(name, 40)
        return InputError(
            f"What a constant answer reaches in {short!r} is not known: give trivial={{{short!r}: ...}}, or "
            "scale='first' (0 is the first epoch) or scale='minmax' (0 the worst epoch), which need none."
        )

    # -- lists and examples ----------------------------------------------------------------------------------------

    def _per_output(self) -> list[str] | None:
        """The first metric of each output, as validation logs it; None where one has none."""
        found = []
        for index in range(len(_logged_outputs(self.model))):
            names = [
                name
                for name, metric in (self._compiled or {}).items()
                if not metric.is_loss and _output(self.model, name, metric.object) == index
            ]
            if not names:
                return None
            found.append(VAL + names[0])
        return found or None

    def _listed(self, weights: Sequence[Any], logged: Sequence[str]) -> dict[str, Any]:
        names = self._per_output()
        is_list = (
            isinstance(getattr(self.model, "output", None), list | tuple) or len(names or []) == 1
        )
        order = names if is_list else None
        return listed(
            weights,
            order,
            names or [VAL + name for name in self._compiled or {}] or logged,
            self.what,
        )

    def _example(self) -> str:
        names = self._per_output() or [
            VAL + name for name in self._compiled or {} if name != "loss"
        ]
        return shorten(
            repr(dict.fromkeys(names[:4] or ["val_churn_auc", "val_price_mae"], 0.5)), 160
        )


class Compiled(NamedTuple):
    """A name that Keras logs.

    Attributes:
        object: the metric behind it, or None.
        way: `"max"`, `"min"` or None.
        ideal: what a perfect answer reaches, or None.
        is_loss: whether it is a loss; its object is then the metric that measures the same, or
            None.
    """

    object: Any
    way: str | None
    ideal: float | None
    is_loss: bool = False


def _compiled(model: Any) -> dict[str, Compiled] | None:
    """The names that a compiled model will log of itself; None where that cannot be known yet."""
    if any(getattr(type(model), name, None) is not getattr(keras.Model, name) for name in LOGGING):
        return None  # a step of the user's own logs what it likes
    found: dict[str, Compiled] = {}
    try:
        losses = _losses(model)
        for metric in model.metrics:
            inner = getattr(metric, "metrics", None)
            if not isinstance(inner, list):
                found[metric.name] = _known(metric)
                if _is_loss(metric):
                    found[metric.name] = Compiled(losses.get(metric.name), "min", 0.0, is_loss=True)
                continue
            names = list(metric.result())  # not built yet: ValueError
            if len(names) != len(inner):
                return None
            found |= {name: _known(own) for name, own in zip(names, inner, strict=True)}
    except Exception:  # metrics of the user's own may raise here what they like
        return None
    return found


def _losses(model: Any) -> dict[str, Any]:
    """Names of losses in the logs -> metrics of Keras that measure the same, as far as there are any."""
    outputs = _logged_outputs(model)
    given = getattr(model, "loss", None)
    if len(outputs) == 1:
        one = given if not isinstance(given, list | tuple | dict) else None
        return {"loss": metric_of_loss(one)} if one is not None else {}
    by_name = given if isinstance(given, Mapping) else {}
    if isinstance(given, list | tuple) and len(given) == len(outputs):
        by_name = dict(zip(outputs, given, strict=True))
    return {
        f"{name}_loss": metric_of_loss(loss) for name, loss in by_name.items() if loss is not None
    }


def _is_loss(metric: Any) -> bool:
    """Whether this is where Keras adds up a loss."""
    return type(metric) is keras.metrics.Mean and (
        metric.name == "loss" or metric.name.endswith("_loss")
    )


def _known(metric: Any) -> Compiled:
    return Compiled(metric, direction_of(metric), ideal_of(metric))


def _logged_outputs(model: Any) -> list[str]:
    """Return the names of the outputs in the logs: the keys where they are a dict, else those of their layers."""
    output = getattr(model, "output", None) if getattr(model, "outputs", None) else None
    if isinstance(output, Mapping):
        paths = [path for path, _ in keras.tree.flatten_with_path(output)]
        return [".".join(map(str, path)) for path in paths]
    return list(getattr(model, "output_names", None) or ["output"])


def _output(model: Any, name: str, metric: Any) -> int | None:
    """The number of the output that a metric belongs to, found by its name."""
    outputs = _logged_outputs(model)
    if len(outputs) == 1:
        return 0
    fits = [
        i
        for i, output in enumerate(outputs)
        if metric is not None and name.startswith(f"{output}_{metric.name}")
    ]
    return max(fits, key=lambda i: len(outputs[i])) if fits else None


def _labels_of(model: Any, labels: Any, index: int) -> np.ndarray:
    if isinstance(labels, Mapping):
        name, layer = _logged_outputs(model)[index], model.output_names[index]
        return labels[name] if name in labels else labels[layer]
    return list(labels)[index] if isinstance(labels, list | tuple) else labels


def _units(model: Any, index: int) -> int:
    outputs = getattr(model, "outputs", None)
    return int(outputs[index].shape[-1] or 1) if outputs and len(outputs[index].shape) > 1 else 1


def _number(name: str, value: Any) -> float:
    """A value of the logs as a number.

    Raises:
        InputError: for a vector, as `F1Score()` gives one.
    """
    array = np.asarray(keras.ops.convert_to_numpy(value), "float64")
    if array.size != 1:
        raise InputError(
            f"{shorten(name)!r} in the logs is no single number, but {list(array.shape)} of them: "
            "a metric with an average, such as F1Score(average='macro'), gives one."
        )
    return float(array.reshape(()))


def listed(
    given: Sequence[Any], order: Sequence[str] | None, names: Sequence[str], what: str
) -> dict[str, Any]:
    """Return a list as a dict, where the outputs of the model are a list too.

    Args:
        given: one value for each output.
        order: the names in the order of the outputs; None where these are no list.
        names: as they would be written.
        what: that was given, as errors call it.

    Raises:
        InputError: with the dict to write instead; where there are more or fewer values than
            outputs.
    """
    if order is not None and len(given) == len(order):
        return dict(zip(order, given, strict=True))
    names = order or names
    shown = ", ".join(
        f"{shorten(name, 40)!r}: {_shown(value)}"
        for name, value in zip(names, [*given, *["..."] * len(names)], strict=False)
    )
    count = "" if len(given) == len(names) else f" of {len(given)} for {len(names)} names"
    raise InputError(
        f"The {what} goes by name, got a list{count}: write {{{shorten(shown, 200)}}}."
    )


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | str) and value != "..." else "..."


def watched(
    weights: Mapping[str, float], tasks: Mapping[TaskName, Any], what: str
) -> dict[tuple[TaskName, str], float]:
    """`task` or `task/metric` -> weight, as (task, metric) -> weight; `what` they are for is said in errors."""
    pairs = [_metric(name, tasks, what) for name in weights]
    names = [task for task, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"The {what} names a task twice: {listing(names)}; give each one metric.")
    return dict(zip(pairs, map(float, weights.values()), strict=True))


def _metric(name: str, tasks: Mapping[TaskName, Any], what: str) -> tuple[TaskName, str]:
    """`task`, `task/metric`, or a name as Keras logs it, `val_task_metric` -> (task, metric)."""
    if name in tasks:
        return name, tasks[name].headline
    logged = _logged(tasks)
    for known in (name, name.removeprefix(VAL)):
        if known in logged:
            _check_comparable(tasks[logged[known][0]], logged[known][1])
            return logged[known]
    task, _, metric = name.rpartition("/")
    if task not in tasks:
        raise UnknownName(f"task in the {what}:", name, tasks)
    raise UnknownName(
        f"metric of task {shorten(task)!r} in the {what}:", metric, _metrics_of(tasks[task])
    )


def _metrics_of(task: Any) -> tuple[str, ...]:
    return tuple(getattr(task, "metric_names", task.metrics))


def _check_comparable(task: Any, metric: str) -> None:
    """Refuse a metric object of which nobody knows which way is better.

    Raises:
        InputError: naming it.
    """
    own = next((one for one in getattr(task, "metric_objects", ()) if one.name == metric), None)
    if own is not None and (direction_of(own) is None or ideal_of(own) is None):
        raise InputError(
            f"Which way metric {shorten(metric)!r} of task {shorten(task.name)!r} is better is not known, so it has no "
            "skill: watch another, or make it a subclass of a metric of Keras that it resembles."
        )


def _logged(tasks: Mapping[TaskName, Any]) -> dict[str, tuple[TaskName, str]]:
    """Names of metrics in the logs -> (task, metric), as polycera and as stock Keras write them."""
    found: dict[str, tuple[TaskName, str]] = {}
    for task in tasks:
        for metric in _metrics_of(tasks[task]):
            found |= {f"{task}_{metric}": (task, metric), f"{task}/{metric}": (task, metric)}
            if len(tasks) == 1:
                found[metric] = (task, metric)
    return found
