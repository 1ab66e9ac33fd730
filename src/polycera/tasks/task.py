"""Define a task: one thing to predict, with a name, a kind, loss terms, a weight and metrics."""

from __future__ import annotations

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack

import numpy as np

from polycera import registered
from polycera.errors import InputError, listing, shorten
from polycera.tasks import class_weights, terms, user_labels
from polycera.tasks.metrics import check_metrics, user_metrics
from polycera.typing import Array, TaskName, Tensor


class _Sealing(ABCMeta):
    """Make every instance immutable after its `__init__`.

    A model is built from its tasks, so a later change of a task would be ignored in silence.
    """

    # Hidden from type checkers, so that they see the arguments of `__init__`.
    if not TYPE_CHECKING:

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            instance = super().__call__(*args, **kwargs)
            # Past `Task.__setattr__`, which refuses every name once `_sealed` is set.
            object.__setattr__(instance, "_sealed", True)
            return instance

    @property
    def __signature__(cls) -> inspect.Signature:
        """Return the arguments of a kind, with those of its base in place of `**rest`."""
        merged: dict[str, inspect.Parameter] = {}
        for base in cls.__mro__:
            if base is object or "__init__" not in vars(base):
                continue
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            # The first `__init__` is the kind's own; those after it are reached through `**rest`.
            handed_on = bool(merged)
            for parameter in parameters:
                if (
                    parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
                    and parameter.name not in merged
                ):
                    # An argument that passes through `**rest` can only be given by name.
                    merged[parameter.name] = (
                        parameter.replace(kind=parameter.KEYWORD_ONLY) if handed_on else parameter
                    )
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
        return inspect.Signature(list(merged.values()))


class TaskOptions(TypedDict, total=False):
    """Holds the arguments that every kind takes beside its own; see `Task`."""

    loss: Any
    weight: float
    metrics: Sequence[str] | None
    learning_rate: float


class ClassTaskOptions(TaskOptions, total=False):
    """Holds the arguments that every kind with classes takes beside its own; see `ClassTask`."""

    class_weight: Any


class Task(metaclass=_Sealing):
    """Describes one thing to predict; each kind of task is a subclass.

    The kinds are `Regression`, `Proportion`, `Binary`, `Multiclass`, `Multilabel`, `Ordinal`,
    `Count` and `Quantile`.

    A kind sets the head (`units` raw outputs and a link to predictions), the encoding of labels
    (`width` columns, NaN where a label is missing), the default loss and metrics, and the trivial
    predictor. Tasks are immutable descriptions. The trained numbers are in the model.

    Args:
        name: name of the task in targets, weights, logs and predictions. Any text.
        loss: the loss terms: the name of a loss, a `keras.losses.Loss`, a function
            `(y_true, y_pred) -> [n]`, a dict of these to their weights, or a list of them or of
            `(loss, weight)` pairs. Default: the default loss of the kind.
        weight: factor of the whole task in the total loss. With 0 the task is only measured.
        metrics: names of metrics of the kind. The first is the headline metric, which measures the
            skill. Metric objects of Keras, or your own subclasses, are logged beside them and are
            never the headline metric.
        learning_rate: factor of the optimizer's learning rate in the head of this task; above 0.

    Raises:
        InputError: for an empty name, a negative or infinite weight, or an unknown loss or metric.
    """

    kind: ClassVar[str]
    default_loss: ClassVar[str]
    default_metrics: ClassVar[tuple[str, ...]]
    units: int
    width: int = 1
    _weight: float

    def __init__(
        self,
        name: TaskName,
        *,
        loss: Any = None,
        weight: float = 1.0,
        metrics: Sequence[Any] | None = None,
        learning_rate: float = 1.0,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise InputError(
                f"A task's name must be a text of at least one character, got {name!r}."
            )
        self.name = name
        self._weight = terms.factor(weight, f"the weight of task {shorten(name)!r}")
        self.learning_rate = terms.factor(
            learning_rate, f"the learning rate of task {shorten(name)!r}"
        )
        if not self.learning_rate > 0:
            raise InputError(
                f"Task {shorten(name)!r} got learning_rate=0: give a factor above 0, such as 0.1."
            )
        self.terms = terms.parse(self.default_loss if loss is None else loss, task=self)
        metrics, self.metric_objects = user_metrics.split(name, metrics)
        object_names = [metric.name for metric in self.metric_objects]
        if metrics is None:
            # An object that has the name of a default metric takes its place.
            metrics = (
                tuple(metric for metric in self.default_metrics if metric not in object_names)
                or self.default_metrics
            )
        self.metrics = check_metrics(self.measured_as, name, metrics)
        if twice := [metric for metric in self.metrics if metric in object_names]:
            raise InputError(
                f"Task {shorten(name)!r} has a metric object that is called {twice[0]!r}, as a "
                "metric of its kind is: give the object another name=."
            )
        written = [metrics] if isinstance(metrics, str) else metrics
        self.metric_spellings = {
            metric: str(spelling)
            for metric, spelling in zip(self.metrics, written, strict=True)
            if metric != spelling
        }

    def __setattr__(self, name: str, value: Any) -> None:
        live = self.__dict__.get("_live")
        # A model's own task may change its weight: the value is stored in the model.
        if name == "weight" and live is not None:
            live[1](terms.factor(value, f"the weight of task {shorten(self.name)!r}"))
            return
        if self.__dict__.get("_sealed", False):
            hint = (
                f"; for a model that has it: model.tasks[{shorten(self.name)!r}].weight"
                if name == "weight"
                else ""
            )
            raise InputError(
                f"Task {shorten(self.name)!r} cannot be changed, a model may be using it: give "
                f"{name}=... when you make it, or make another with task.replace({name}=...){hint}."
            )
        object.__setattr__(self, name, value)

    @property
    def weight(self) -> float:
        """Return the factor of the whole task in the total loss.

        For a task that is part of a model this is the current weight in the model.
        """
        live = self.__dict__.get("_live")
        return float(self._weight if live is None else live[0]())

    def attached(self, read: Callable[[], float], write: Callable[[float], None]) -> Self:
        """Return a copy of the task whose weight is read from and written to a model."""
        attached_task = copy(self)
        object.__setattr__(attached_task, "_live", (read, write))
        return attached_task

    # -- what a kind must define -------------------------------------------------------------------

    @abstractmethod
    def encode(self, values: Any) -> Array:
        """Encode the user's labels [n] as float64 [n, width], NaN where a label is missing."""

    @abstractmethod
    def link(self, raw: Tensor, xp: Any) -> Tensor:
        """Return the predictions [..., p] for raw outputs [..., units].

        Args:
            raw: raw outputs of the head.
            xp: `keras.ops` or `polycera.tasks.numpy_ops`.
        """

    @abstractmethod
    def prior(self, encoded: Array, weights: Array | None = None) -> Array:
        """Return the raw outputs [units] of the best constant predictor of `encoded` [n, width].

        `weights` are sample weights [n], or None. A kind of your own may leave them out: its rows
        then count once each.
        """

    @abstractmethod
    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        """Return encoded labels [..., width] in the shape of predictions [..., p], for losses."""

    # -- defaults that most kinds use --------------------------------------------------------------

    @property
    def signature(self) -> Hashable:
        """Return what must be equal for tasks to be computed together.

        That is the kind, `units`, `width` and whatever else changes the formulas.
        """
        # A subclass written by the user may have another link, so its class is part of the key.
        user_class = (type(self),) if registered.is_own(type(self)) else ()
        return (self.kind, self.units, self.width, *user_class)

    @property
    def measured_as(self) -> str:
        """Return the key to look up metrics and losses.

        That is the kind, with `"soft "` before it for soft labels.
        """
        return self.kind

    @property
    def headline(self) -> str:
        """Return the name of the metric that measures the task's skill."""
        return self.metrics[0]

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels [..., width] are values that `encode` can give, as bool.

        NaN is not such a value. The training step uses this to check batches that exist only on
        the backend.
        """
        return xp.isfinite(y)

    @property
    def wanted(self) -> str:
        """Return a phrase for warnings: what a label must be."""
        return "a finite number"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Return the logged names of all metrics: those of the kind, then the metric objects."""
        return (*self.metrics, *(metric.name for metric in self.metric_objects))

    def moments(self, encoded: Array, weights: Array | None = None) -> tuple[float, float]:
        """Return the location and scale of the target scaling; `weights` are as for `prior`.

        The losses see the labels without them. Only regression kinds have other values than (0, 1).
        """
        return 0.0, 1.0

    def decode(self, prediction: Array) -> np.ndarray:
        """Return predictions [n, p] as `predict` gives them: [n] where p is 1.

        They are in the user's units.
        """
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction

    def answer(self, prediction: Array) -> np.ndarray:
        """Return the predicted label [n] for predictions [n, p].

        It is a number, or one of the user's own classes.
        """
        return self.decode(prediction)

    # -- configuration and equality ----------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        """Return the task as plain JSON values that `task_from_config` can read.

        Raises:
            InputError: for a class written by the user that is not registered with Keras.
        """
        kind = self.kind
        if registered.is_own(type(self)):
            kind = registered.name_of(
                type(self), f"Task {shorten(self.name)!r} ({type(self).__name__})"
            )
        return self._described(kind)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor.

        Keras registers only classes that have a method of this name.
        """
        return {name: value for name, value in self._described(self.kind).items() if name != "kind"}

    def _described(self, kind: str) -> dict[str, Any]:
        """Return the task as plain JSON values with the given name of its kind."""
        config: dict[str, Any] = {"kind": kind, "name": self.name, "weight": self.weight}
        config["loss"] = [term.to_config() for term in self.terms]
        config["metrics"] = [
            *self.metrics,
            *(user_metrics.written(self.name, metric) for metric in self.metric_objects),
        ]
        # Written only where it is not the default, so that other configurations stay the same.
        if self.learning_rate != 1.0:
            config["learning_rate"] = self.learning_rate
        return config | self.own_config()

    def own_config(self) -> dict[str, Any]:
        """Return what this kind adds to the configuration."""
        return {}

    def replace(self, **changes: Any) -> Task:
        """Return a new task with some of the arguments changed."""
        # Terms, not losses, so that the terms keep their names in the logs.
        loss = list(self.terms)
        base: dict[str, Any] = {"name": self.name, "loss": loss, "weight": self.weight}
        written = [self.metric_spellings.get(metric, metric) for metric in self.metrics]
        base["metrics"] = [*written, *self.metric_objects]
        base["learning_rate"] = self.learning_rate
        return type(self)(**(base | self.own_config() | changes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(other) is type(self) and self._described(self.kind) == other._described(
            self.kind
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name))


class ClassTask(Task):
    """Describes a task whose label is one of the user's own classes.

    Binary, multiclass and ordinal tasks are subclasses.

    Args:
        name: the task's name.
        classes: the classes, or their number; None where they are not known yet.
        class_weight: factor of the loss of the rows of a class: {label: weight}, where a label that
            is not named has weight 1; a weight for each class; or "balanced": rows / (classes x
            rows of the class), over the training rows. Metrics do not use it.
    """

    def __init__(
        self,
        name: TaskName,
        classes: Sequence[Any] | int | None,
        *,
        class_weight: Any = None,
        **rest: Unpack[TaskOptions],
    ) -> None:
        self.classes = _classes(name, classes)
        self.class_weight = class_weights.of_classes(str(name), class_weight, self.classes)
        super().__init__(name, **rest)

    def own_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"classes": None if self.classes is None else list(self.classes)}
        return config | class_weights.config(self.class_weight)

    def known_classes(self) -> tuple[Any, ...]:
        """Return the classes.

        Raises:
            InputError: where the classes are not known yet, with how to give them.
        """
        if self.classes is None:
            raise InputError(
                f"Task {shorten(self.name)!r} has no classes yet: pass classes=[...] or their "
                "number."
            )
        return self.classes

    def encode(self, values: Any) -> Array:
        """Encode the user's labels [n] as the index of the class [n, 1], NaN where missing.

        Raises:
            InputError: listing labels that are none of the classes.
        """
        classes = self.known_classes()
        array = user_labels.read(
            self.name,
            user_labels.in_order(self.name, values, [str(label) for label in classes]),
        )
        if array.ndim == 2 and array.shape[1] == len(classes) > 1:
            return self._from_one_hot(user_labels.numbers(self.name, array))[:, None]
        array = user_labels.column(self.name, array, f"{self.kind}, {len(classes)} classes")
        is_missing = user_labels.missing(array)
        index = np.full(len(array), np.nan)
        present, inverse = _unique(array[~is_missing])
        codes = {_key(label): code for code, label in enumerate(classes)}
        present_codes = np.array([codes.get(_key(label), -1) for label in present], dtype="float64")
        if (present_codes < 0).any():
            unknown_labels = [
                label for label, code in zip(present, present_codes, strict=True) if code < 0
            ]
            raise InputError(
                f"Task {shorten(self.name)!r} ({self.kind}) got the "
                f"label{'s' if len(unknown_labels) > 1 else ''} {listing(unknown_labels, 5)}; "
                f"expected {listing(classes)}, or NaN where one is "
                f"missing{self._way_out(unknown_labels)}."
            )
        index[~is_missing] = present_codes[inverse] if len(present) else index[~is_missing]
        return index[:, None]

    def _way_out(self, strange: Sequence[Any]) -> str:
        """Return a hint where labels that are none of the classes fit another kind, else ''."""
        return ""

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        inside = xp.logical_and(
            xp.greater_equal(y, 0.0), xp.less_equal(y, len(self.known_classes()) - 1.0)
        )
        return xp.logical_and(inside, xp.equal(y, xp.floor(y)))

    @property
    def wanted(self) -> str:
        classes = self.known_classes()
        if self.class_numbers is None:
            return f"the index of a class, 0 to {len(classes) - 1}"
        return f"one of {listing(classes, 5)}"

    @property
    def class_numbers(self) -> np.ndarray | None:
        """Return the classes as numbers [classes]; None where one of them is a text."""
        numbers = [_key(label) for label in self.known_classes()]
        return np.array(numbers) if all(isinstance(number, float) for number in numbers) else None

    def _from_one_hot(self, array: Array) -> Array:
        """Return the index of the class [n] of one-hot rows [n, classes], NaN where missing."""
        is_missing = np.isnan(array).all(axis=1)
        is_valid = is_missing | (np.isin(array, (0.0, 1.0)).all(axis=1) & (array.sum(axis=1) == 1))
        if not is_valid.all():
            row = int(np.argmin(is_valid))
            near = (
                self.kind == "multiclass"
                and (array[row] >= 0).all()
                and abs(array[row].sum() - 1) < 0.01
            )
            raise InputError(
                f"Task {shorten(self.name)!r}: the target has shape {list(array.shape)} but row "
                f"{row} is not one-hot; pass one label a row, or rows with a single 1"
                f"{'; for shares that add up to 1, make the task with soft=True' if near else ''}."
            )
        return np.where(is_missing, np.nan, array.argmax(axis=1))

    def answer(self, prediction: Array) -> np.ndarray:
        return self.in_words(self.choose(prediction))

    def in_words(self, chosen: np.ndarray) -> np.ndarray:
        """Return the user's own classes [n] for indices of classes [n]."""
        return _as_labels(self.known_classes())[chosen]

    def choose(self, prediction: Array) -> np.ndarray:
        """Return the index of the predicted class, [n]."""
        return prediction.argmax(axis=1)


def _classes(name: TaskName, classes: Sequence[Any] | int | None) -> tuple[Any, ...] | None:
    """Return the classes of a task, which may be given as their number."""
    if classes is None:
        return None
    listed = (
        tuple(range(classes)) if isinstance(classes, int) else tuple(_plain(c) for c in classes)
    )
    if len(listed) < 2 or len({_key(c) for c in listed}) < len(listed):
        raise InputError(
            f"Task {shorten(name)!r} needs two or more different classes, got {listing(listed)}."
        )
    return listed


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as a Python value, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _key(value: Any) -> Any:
    """Return the key by which labels are compared.

    1, 1.0, True and their NumPy twins are one label; '1' is another.
    """
    return (
        float(value)
        if isinstance(value, int | float | np.generic) and not isinstance(value, str)
        else value
    )


def _unique(array: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Return the distinct labels, and the index of its label for each element, [n]."""
    # `np.unique` sorts, which objects of mixed types do not allow: those go through a dict below.
    if array.dtype.kind in "biuf":
        present, inverse = np.unique(array, return_inverse=True)
        return present.tolist(), inverse
    codes: dict[Any, int] = {}
    inverse = np.fromiter(
        (codes.setdefault(_plain(v), len(codes)) for v in array), "int64", len(array)
    )
    return list(codes), inverse


def _as_labels(classes: tuple[Any, ...]) -> np.ndarray:
    """Return the classes as an array [classes] that does not change their types."""
    # NumPy would turn mixed classes into text, so all but numbers and booleans become objects.
    array = np.asarray(classes)
    return (
        array
        if array.dtype.kind in "biuf" and len(array) == len(classes)
        else np.array(classes, dtype=object)
    )
