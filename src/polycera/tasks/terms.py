"""Loss terms: any number per task, each with a weight, each giving one value a row.

The default losses take raw outputs and are numerically stable at any logit. What a loss of Keras
gets, `keras_losses` says; a plain function gets predictions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import keras_losses, loss_from_config
from polycera.typing import Tensor

if TYPE_CHECKING:
    from polycera.tasks.layout import Group
    from polycera.tasks.task import Task

PerRow = Callable[..., Tensor]


def mse(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Squared error, of standardised values where the task standardises."""
    return xp.square(raw - y)


def mae(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Absolute error, of standardised values where the task standardises."""
    return xp.abs(raw - y)


def huber(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Huber's loss (Huber 1964) with delta 1: squared within one standard deviation, linear beyond."""
    error = xp.abs(raw - y)
    inside = xp.minimum(error, 1.0)
    return 0.5 * xp.square(inside) + (error - inside)


def log_cosh(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Logarithm of the hyperbolic cosine of the error, written so that it cannot overflow."""
    error = xp.abs(raw - y)
    return error + xp.softplus(-2.0 * error) - math.log(2.0)


def bce(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Binary cross-entropy from logits, with each task's label smoothing and weight of positives."""
    smoothing, pos_weight = group.stack("label_smoothing", 0.0), group.stack("pos_weight", 1.0)
    if smoothing is not None:
        y = xp.add(xp.multiply(y, 1.0 - smoothing), 0.5 * smoothing)
    if pos_weight is None:
        return xp.softplus(raw) - y * raw
    return xp.multiply(y * xp.softplus(-raw), pos_weight) + (1.0 - y) * xp.softplus(raw)


def cross_entropy(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Cross-entropy from logits over the classes, with each task's label smoothing."""
    target, smoothing = group.task.as_prediction(y, xp), group.stack("label_smoothing", 0.0)
    if smoothing is not None:
        target = xp.add(xp.multiply(target, 1.0 - smoothing), smoothing / group.task.units)
    return -xp.sum(target * xp.log_softmax(raw, axis=-1), axis=-1, keepdims=True)


def corn(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Minus log-likelihood of the level reached, step by step (CORN, Shi 2021, arXiv:2111.08851).

    Where we differ: the paper averages over steps, we add them up, so that the term is a
        likelihood.
    """
    steps = np.arange(group.task.units, dtype="float32")
    asked = xp.cast(xp.greater_equal(y, steps), "float32")
    passed = xp.cast(xp.greater(y, steps), "float32")
    return xp.sum(asked * (xp.softplus(raw) - passed * raw), axis=-1, keepdims=True)


def poisson(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Poisson's minus log-likelihood from log rates, less the part that only labels decide."""
    return group.task.link(raw, xp) - y * raw


def pinball(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Pinball (quantile) loss, averaged over the task's quantiles (Koenker & Bassett 1978)."""
    levels = np.asarray(group.task.own_config()["quantiles"], dtype="float32")
    error = y - raw
    return xp.mean(
        xp.maximum(xp.multiply(error, levels), xp.multiply(error, levels - 1.0)),
        axis=-1,
        keepdims=True,
    )


def squared_answer(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Squared distance of the answered probability from the label (Brier 1950)."""
    return xp.square(group.task.link(raw, xp) - y)


def absolute_answer(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Distance of the answered probability from the label."""
    return xp.abs(group.task.link(raw, xp) - y)


def brier_of_classes(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Squared distances of the probabilities of all classes from the label, added up (Brier 1950)."""
    off = group.task.link(raw, xp) - group.task.as_prediction(y, xp)
    return xp.sum(xp.square(off), axis=-1, keepdims=True)


_SHARES: dict[str, PerRow] = {
    "bce": bce,
    "brier": squared_answer,
    "mse": squared_answer,
    "mae": absolute_answer,
}

OWN: dict[str, dict[str, PerRow]] = {
    "regression": {"mse": mse, "mae": mae, "huber": huber, "log_cosh": log_cosh},
    "proportion": _SHARES,
    "binary": _SHARES,
    "multilabel": _SHARES,
    "multiclass": {"cross_entropy": cross_entropy, "brier": brier_of_classes},
    "ordinal": {"corn": corn},
    "count": {"poisson": poisson},
    "quantile": {"pinball": pinball},
}
"""The stable losses of each kind; any other name is looked up in `keras.losses`."""

ALIASES = {
    "mean_squared_error": "mse",
    "MeanSquaredError": "mse",
    "MSE": "mse",
    "mean_absolute_error": "mae",
    "MeanAbsoluteError": "mae",
    "MAE": "mae",
    "Huber": "huber",
    "huber_loss": "huber",
    "logcosh": "log_cosh",
    "LogCosh": "log_cosh",
    "binary_crossentropy": "bce",
    "BinaryCrossentropy": "bce",
    "BCE": "bce",
    "categorical_crossentropy": "cross_entropy",
    "CategoricalCrossentropy": "cross_entropy",
    "sparse_categorical_crossentropy": "cross_entropy",
    "SparseCategoricalCrossentropy": "cross_entropy",
    "crossentropy": "cross_entropy",
    "log_loss": "cross_entropy",
    "Poisson": "poisson",
}
"""Other names of our own losses, as Keras and scikit-learn have them."""

OF_SHARES = {"log_loss": "bce", "cross_entropy": "bce", "crossentropy": "bce"}
"""Other names of the cross-entropy where it is that of one probability a label."""


@dataclass(frozen=True)
class Term:
    """One loss of a task with its weight, logged as `task/name`.

    Attributes:
        name: how it is logged.
        weight: its factor within the task.
        loss: a name of `OWN`, a `keras.losses.Loss`, or a function.
    """

    name: str
    weight: float
    loss: Any

    @property
    def key(self) -> Any:
        """Terms with equal keys, of tasks with equal signatures, are computed as one."""
        return self.loss if isinstance(self.loss, str) else keras_losses.key_of(self.loss)

    def in_user_units(self, task: Task) -> bool:
        """Whether the term compares numbers in the user's units where others see them standardised."""
        return not isinstance(self.loss, str) and keras_losses.in_user_units(task, self.loss)

    def per_row(self, group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
        """Labels [n, k, width] and raw outputs [n, k, units] -> one value a label, [n, k, width]."""
        if isinstance(self.loss, str):
            return OWN[group.task.kind][self.loss](group, y, raw, xp)
        return foreign(self, group.task, y, raw, xp)

    def to_config(self) -> dict[str, Any]:
        """The term as plain JSON values.

        Raises:
            InputError: for a function that nobody could find again when the file is loaded.
        """
        if isinstance(self.loss, str):
            if self.loss in (self.name, ALIASES.get(self.name), OF_SHARES.get(self.name)):
                return {"loss": self.name, "weight": self.weight}
            return {"loss": self.loss, "weight": self.weight, "name": self.name}
        import keras

        named = type(self.loss) if isinstance(self.loss, keras.losses.Loss) else self.loss
        name = keras.saving.get_registered_name(named)
        of_keras = getattr(keras.losses, name, None) is named
        if not of_keras and keras.saving.get_registered_object(name) is None:
            raise InputError(
                f"Loss {self.name!r} cannot be saved by name: "
                "put @keras.saving.register_keras_serializable() above its definition."
            )
        saved = keras.saving.serialize_keras_object(self.loss)
        again = loss_from_config.loss(saved, f"Loss {self.name!r}")
        kept, settings = (getattr(loss, "_fn_kwargs", None) for loss in (again, self.loss))
        if kept != settings:  # Keras 3.15.1 forgets the delta of Huber
            raise InputError(
                f"Loss {self.name!r} would lose its settings {shorten(repr(settings))} when saved, because Keras "
                "does not write them down: put the loss into a registered function."
            )
        config = {"loss": saved, "weight": self.weight}
        return config if self.name == _name_of(again) else config | {"name": self.name}


def foreign(term: Term, task: Task, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """A Keras loss or a user's function, called once on all rows of all tasks that share it.

    Rows and tasks are folded into one axis: a loss gives one value a row, so it cannot tell them
        apart.
    """
    function = keras_losses.from_raw(task, term.loss)
    logits = function is not None or wants_logits(term.loss)
    function = function or keras_losses.from_answers(term.loss)
    predicted = raw if logits else task.link(raw, xp)
    index = keras_losses.takes_index(term.loss)
    true = y if index else task.as_prediction(y, xp)
    shape = tuple(predicted.shape)
    lead, depth = shape[1:-1], shape[-1]
    # each label is a row of its own, so that a missing one can be left out
    if task.kind == "multilabel":
        lead, depth = (*lead, depth), 1
    values = function(
        xp.reshape(true, (-1, 1 if index else depth)), xp.reshape(predicted, (-1, depth))
    )
    count = math.prod(lead) if shape[0] is None else shape[0] * math.prod(lead)
    wrong = len(values.shape) < 1 or tuple(values.shape[1:]) not in ((), (1,))
    if wrong or values.shape[0] not in (None, None if shape[0] is None else count):
        raise InputError(
            f"Loss {term.name!r} of task {shorten(task.name)!r} returned shape {list(values.shape)}, "
            "expected one value a row [n]: leave the averaging to polycera"
            f"{_averaged(values)}."
        )
    values = xp.reshape(values, (-1, *lead))
    return values if task.kind == "multilabel" else values[..., None]


def _averaged(values: Tensor) -> str:
    """Return what to write in place of a mean over everything."""
    if len(values.shape):
        return ""
    return (
        ", which takes the mean over the rows that have a label; write ops.mean(..., axis=-1) in place of "
        "ops.mean(...), and call(y_true, y_pred) in place of a loss that reduces by itself"
    )


def wants_logits(loss: Any) -> bool:
    """Return whether a loss of the user's own says that it takes raw outputs."""
    own = keras_losses.class_of(loss) is None and hasattr(loss, "get_config")
    return own and bool(
        loss.get_config().get("from_logits", keras_losses.family_of(loss) == "margin")
    )


def parse(spec: Any, task: Task) -> tuple[Term, ...]:
    """Any of the accepted ways to write losses -> terms.

    Raises:
        InputError: for no term, a name twice, a weight that is no number >= 0.
        UnknownName: for a loss that neither polycera nor Keras knows.
    """
    if isinstance(spec, Mapping) and "class_name" not in spec:
        pairs = list(spec.items())
    elif isinstance(spec, list | tuple):
        pairs = [_pair(item, task) for item in spec]
    else:
        pairs = [(spec, 1.0)]
    found = tuple(_term(loss, weight, task) for loss, weight in pairs)
    names = [term.name for term in found]
    same = [term.loss for term in found if isinstance(term.loss, str)]
    if not found or len(set(names)) < len(names) or len(set(same)) < len(same):
        what = (
            "has no loss term"
            if not found
            else f"has two loss terms of one name: {', '.join(names)}"
        )
        raise InputError(
            f"Task {shorten(task.name)!r} {what}; give one or more, each with a name of its own."
        )
    return found


def factor(value: Any, what: str) -> float:
    """A weight as a float.

    Raises:
        InputError: unless it is a finite number, 0 or more.
    """
    ok = isinstance(value, int | float) or (
        hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0
    )
    try:
        number = float(value) if ok else math.nan
    except OverflowError:  # an integer that no float is
        number = math.inf
    if not 0 <= number < math.inf:
        raise InputError(
            f"Expected {what} to be a finite number, 0 or more, got {shorten(value)!r}."
        )
    return number


def _pair(item: Any, task: Task) -> tuple[Any, float]:
    if isinstance(item, Term):
        return item, item.weight
    if isinstance(item, Mapping) and {"loss", "weight"} <= set(item) <= {"loss", "weight", "name"}:
        named = item.get("name")
        if not isinstance(named, str | None):
            raise InputError(
                f"A loss of task {shorten(task.name)!r} has the name {shorten(repr(named))}, no text."
            )
        if named is not None:
            term = _term(item["loss"], item["weight"], task)
            return Term(named, term.weight, term.loss), term.weight
        return item["loss"], item["weight"]
    if isinstance(item, list | tuple):
        if len(item) != 2:
            raise InputError(
                f"A loss of task {shorten(task.name)!r} is a loss, or a pair (loss, weight); "
                f"got {len(item)} things: {shorten(repr(item))}."
            )
        return item[0], item[1]
    return item, 1.0


def _term(loss: Any, weight: Any, task: Task) -> Term:
    if isinstance(loss, Term):
        return loss
    weight = factor(weight, f"the weight of a loss of task {shorten(task.name)!r}")
    if isinstance(loss, str):
        return _by_name(loss, weight, task)
    if isinstance(loss, Mapping):
        loss = loss_from_config.loss(loss, f"A loss of task {shorten(task.name)!r}")
    if isinstance(loss, type):
        raise InputError(
            f"A loss of task {shorten(task.name)!r} is the class {loss.__name__}; expected an instance: "
            f"{loss.__name__}()."
        )
    if not callable(loss):
        raise InputError(
            f"A loss of task {shorten(task.name)!r} is a {type(loss).__name__}; expected a name, "
            "a keras.losses.Loss, or a function (y_true, y_pred) -> [n]."
        )
    name = _name_of(loss)
    keras_losses.check_settings(task.name, name, loss)
    return Term(name, weight, loss)


def _name_of(loss: Any) -> str:
    """How a loss that came as an object or a function is logged."""
    loss = loss.func if isinstance(loss, functools.partial) else loss
    name = getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
    return str(name).strip("<>").replace("/", "_")


def _by_name(name: str, weight: float, task: Task) -> Term:
    """One of our own losses for the kind, else the loss that Keras has under this name."""
    known = OWN[task.kind]
    own = ALIASES.get(name, name)
    if own not in known and "bce" in known:
        own = OF_SHARES.get(name, own)
    if own in known:
        return Term(name, weight, own)
    found = keras_losses.named(name)
    if found is None:
        names = [*known, *(alias for alias, one in ALIASES.items() if one in known)]
        raise UnknownName(
            "loss", name, names, f"Task {shorten(task.name)!r} also takes any name of keras.losses."
        )
    return Term(name.replace("/", "_"), weight, found())
