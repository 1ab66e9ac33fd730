"""A task: one thing to predict, with a name, a kind, loss terms, a weight and metrics."""

from __future__ import annotations

import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack

import numpy as np

from polycera import registered
from polycera.errors import InputError, listing, shorten
from polycera.tasks import terms, user_labels
from polycera.tasks.metrics import check_metrics, user_metrics
from polycera.typing import Array, TaskName, Tensor


class _Sealing(ABCMeta):
    """Makes instances that cannot be changed once they are made: a change after the fact would be ignored."""

    if not TYPE_CHECKING:  # a type checker is to see the arguments of `__init__`

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            made = super().__call__(*args, **kwargs)
            object.__setattr__(made, "_sealed", True)
            return made

    @property
    def __signature__(cls) -> inspect.Signature:
        """The arguments of a kind: its own, and in the place of `**rest` those that it hands on to its base."""
        found: dict[str, inspect.Parameter] = {}
        for base in cls.__mro__:
            if base is object or "__init__" not in vars(base):
                continue
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            handed_on = bool(found)
            for one in parameters:
                if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name not in found:
                    # What comes through `**rest` has to be named.
                    found[one.name] = one.replace(kind=one.KEYWORD_ONLY) if handed_on else one
            if not any(one.kind is one.VAR_KEYWORD for one in parameters):
                break
        return inspect.Signature(list(found.values()))


class TaskOptions(TypedDict, total=False):
    """The arguments that every kind takes beside its own; see `Task`."""

    loss: Any
    weight: float
    metrics: Sequence[str] | None
    learning_rate: float


class Task(metaclass=_Sealing):
    """One thing to predict, by its kind.

    The kinds: `Regression`, `Proportion`, `Binary`, `Multiclass`, `Multilabel`, `Ordinal`, `Count`,
        `Quantile`.

    A kind fixes the head (`units` raw outputs, a link to predictions), how labels are encoded
    (`width` columns, NaN where one is missing), the loss and metrics used when none are named, and
    the trivial predictor.
    Tasks are immutable descriptions: the trained numbers live in the model.

    Args:
        name: what the task is called everywhere: targets, weights, logs, answers. Any text.
        loss: the terms: the name of a loss, a `keras.losses.Loss`, a function `(y_true, y_pred) ->
            [n]`, a dict of these to their weights, or a list of them or of `(loss, weight)` pairs.
            Default: the kind's own.
        weight: factor of the whole task in the total loss; 0 only watches it.
        metrics: names of the kind's metrics; the first is the headline, by which skill is measured.
            Metric objects of Keras, or of your own in its form, are logged beside them, and never
            the headline.
        learning_rate: factor of the optimizer's learning rate in the task's own head; above 0.

    Raises:
        InputError: for an empty name, a negative or infinite weight, a loss or metric that is not
            known.
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
        objects = [metric.name for metric in self.metric_objects]
        if metrics is None:
            metrics = (
                tuple(own for own in self.default_metrics if own not in objects)
                or self.default_metrics
            )
        self.metrics = check_metrics(self.measured_as, name, metrics)
        if twice := [own for own in self.metrics if own in objects]:
            raise InputError(
                f"Task {shorten(name)!r} has a metric object that is called {twice[0]!r}, as a metric of its kind is: "
                "give the object another name=."
            )
        written = [metrics] if isinstance(metrics, str) else metrics
        self.metric_spellings = {
            own: str(one) for own, one in zip(self.metrics, written, strict=True) if own != one
        }

    def __setattr__(self, name: str, value: Any) -> None:
        live = self.__dict__.get("_live")
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
                f"Task {shorten(self.name)!r} cannot be changed, a model may be using it: "
                f"give {name}=... when you make it, or make another with task.replace({name}=...){hint}."
            )
        object.__setattr__(self, name, value)

    @property
    def weight(self) -> float:
        """Factor of the whole task in the total loss; of a model's own task, the one in force."""
        live = self.__dict__.get("_live")
        return float(self._weight if live is None else live[0]())

    def attached(self, read: Callable[[], float], write: Callable[[float], None]) -> Self:
        """The same task as a part of a model: its weight is read there, and can be set there."""
        own = copy(self)
        object.__setattr__(own, "_live", (read, write))
        return own

    # -- what a kind must say ------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, values: Any) -> Array:
        """The user's labels [n] -> numbers [n, width] in float64, NaN where a label is missing."""

    @abstractmethod
    def link(self, raw: Tensor, xp: Any) -> Tensor:
        """Raw outputs [..., units] -> predictions [..., p] that losses and users see; `xp` is keras.ops or host."""

    @abstractmethod
    def prior(self, encoded: Array) -> Array:
        """The raw output [units] of the trivial predictor: the constant that fits `encoded` [n, width] best."""

    @abstractmethod
    def as_prediction(self, y: Tensor, xp: Any) -> Tensor:
        """Encoded labels [..., width] in the shape of predictions [..., p], for losses that compare the two."""

    # -- what most kinds share -----------------------------------------------------------------------------------

    @property
    def signature(self) -> Hashable:
        """Tasks of equal signature are computed as one: same kind, units, width and whatever shapes the formula."""
        own = (type(self),) if registered.is_own(type(self)) else ()  # whose link may be another
        return (self.kind, self.units, self.width, *own)

    @property
    def measured_as(self) -> str:
        """The kind, or what tells it apart where its labels may be soft: by this, metrics and losses are looked up."""
        return self.kind

    @property
    def headline(self) -> str:
        """The metric by which the task's skill is measured."""
        return self.metrics[0]

    def valid(self, y: Tensor, xp: Any) -> Tensor:
        """Return where encoded labels [..., width] are ones that `encode` gives, bool; NaN is none of them.

        Batches that only the backend sees are checked by it, in the training step.
        """
        return xp.isfinite(y)

    @property
    def wanted(self) -> str:
        """Return what a label must be, for the sentence of a warning."""
        return "a finite number"

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics as they are logged: those of the kind, then the objects."""
        return (*self.metrics, *(metric.name for metric in self.metric_objects))

    def moments(self, encoded: Array) -> tuple[float, float]:
        """Location and scale taken out of the labels before the losses see them: (0, 1) but for regression kinds."""
        return 0.0, 1.0

    def decode(self, prediction: Array) -> np.ndarray:
        """Predictions [n, p] in the user's units -> what `predict` returns: [n], or [n, p] where p says more."""
        return prediction[:, 0] if prediction.shape[1] == 1 else prediction

    def answer(self, prediction: Array) -> np.ndarray:
        """Predictions [n, p] -> the label one would say: a number, or one of the user's own classes. Shape [n]."""
        return self.decode(prediction)

    # -- written down --------------------------------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        """Return the task as plain JSON values, of which `task_from_config` makes it again.

        Raises:
            InputError: for a class of the user's own that is not registered with Keras.
        """
        kind = self.kind
        if registered.is_own(type(self)):
            kind = registered.name_of(
                type(self), f"Task {shorten(self.name)!r} ({type(self).__name__})"
            )
        return self._described(kind)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the task again: Keras registers only classes with a method of this name."""
        return {name: value for name, value in self._described(self.kind).items() if name != "kind"}

    def _described(self, kind: str) -> dict[str, Any]:
        """The task as plain JSON values, as of this kind."""
        config: dict[str, Any] = {"kind": kind, "name": self.name, "weight": self.weight}
        config["loss"] = [term.to_config() for term in self.terms]
        config["metrics"] = [
            *self.metrics,
            *(user_metrics.written(self.name, each) for each in self.metric_objects),
        ]
        if self.learning_rate != 1.0:
            config["learning_rate"] = self.learning_rate
        return config | self.own_config()

    def own_config(self) -> dict[str, Any]:
        """What this kind adds to the configuration."""
        return {}

    def replace(self, **changes: Any) -> Task:
        """The same task with some of its arguments changed."""
        loss = list(self.terms)  # with the names by which they are logged
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
    """A task whose labels are the user's own values, one of several: what binary, multiclass and ordinal share."""

    def __init__(
        self, name: TaskName, classes: Sequence[Any] | int | None, **rest: Unpack[TaskOptions]
    ) -> None:
        self.classes = _classes(name, classes)
        super().__init__(name, **rest)

    def own_config(self) -> dict[str, Any]:
        return {"classes": None if self.classes is None else list(self.classes)}

    def known_classes(self) -> tuple[Any, ...]:
        """The classes, or one sentence on how to give them."""
        if self.classes is None:
            raise InputError(
                f"Task {shorten(self.name)!r} does not know its classes yet: pass classes=[...] or their number."
            )
        return self.classes

    def encode(self, values: Any) -> Array:
        """The user's labels [n] -> index of the class [n, 1].

        Raises:
            InputError: listing labels that are none of the classes.
        """
        classes = self.known_classes()
        array = user_labels.read(
            self.name, user_labels.in_order(self.name, values, [str(each) for each in classes])
        )
        if array.ndim == 2 and array.shape[1] == len(classes) > 1:
            return self._from_one_hot(user_labels.numbers(self.name, array))[:, None]
        array = user_labels.column(self.name, array, f"{self.kind}, {len(classes)} classes")
        gone = user_labels.missing(array)
        index = np.full(len(array), np.nan)
        present, inverse = _unique(array[~gone])
        codes = {_key(label): code for code, label in enumerate(classes)}
        found = np.array([codes.get(_key(label), -1) for label in present], dtype="float64")
        if (found < 0).any():
            strange = [label for label, code in zip(present, found, strict=True) if code < 0]
            raise InputError(
                f"Task {shorten(self.name)!r} ({self.kind}) got the label{'s' if len(strange) > 1 else ''} "
                f"{listing(strange, 5)}; expected {listing(classes)}, or NaN where one is missing"
                f"{self._way_out(strange)}."
            )
        index[~gone] = found[inverse] if len(present) else index[~gone]
        return index[:, None]

    def _way_out(self, strange: Sequence[Any]) -> str:
        """What to use for labels that are none of the classes, where they look like something else."""
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
            return f"the place of a class, 0 to {len(classes) - 1}"
        return f"one of {listing(classes, 5)}"

    @property
    def class_numbers(self) -> np.ndarray | None:
        """Return the classes as numbers [classes]; None where one of them is a text."""
        numbers = [_key(label) for label in self.known_classes()]
        return np.array(numbers) if all(isinstance(number, float) for number in numbers) else None

    def _from_one_hot(self, array: Array) -> Array:
        gone = np.isnan(array).all(axis=1)
        ok = gone | (np.isin(array, (0.0, 1.0)).all(axis=1) & (array.sum(axis=1) == 1))
        if not ok.all():
            row = int(np.argmin(ok))
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
        return np.where(gone, np.nan, array.argmax(axis=1))

    def answer(self, prediction: Array) -> np.ndarray:
        return self.in_words(self.choose(prediction))

    def in_words(self, chosen: np.ndarray) -> np.ndarray:
        """Index of the class [n] -> the user's own class, [n]."""
        return _as_labels(self.known_classes())[chosen]

    def choose(self, prediction: Array) -> np.ndarray:
        """Index of the class one would say, [n]."""
        return prediction.argmax(axis=1)


def _classes(name: TaskName, classes: Sequence[Any] | int | None) -> tuple[Any, ...] | None:
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
    """A NumPy scalar as the Python value that JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _key(value: Any) -> Any:
    """1, 1.0, True and their NumPy twins are one label; '1' is another."""
    return (
        float(value)
        if isinstance(value, int | float | np.generic) and not isinstance(value, str)
        else value
    )


def _unique(array: np.ndarray) -> tuple[list[Any], np.ndarray]:
    if array.dtype.kind in "biuf":
        present, inverse = np.unique(array, return_inverse=True)
        return present.tolist(), inverse
    codes: dict[Any, int] = {}
    inverse = np.fromiter(
        (codes.setdefault(_plain(v), len(codes)) for v in array), "int64", len(array)
    )
    return list(codes), inverse


def _as_labels(classes: tuple[Any, ...]) -> np.ndarray:
    array = np.asarray(classes)
    return (
        array
        if array.dtype.kind in "biuf" and len(array) == len(classes)
        else np.array(classes, dtype=object)
    )
