"""Define loss terms: a task has one or more, each with a weight and one value for each row.

The default losses take raw outputs and are numerically stable at any logit. `keras_losses` decides
what a loss of Keras takes. A plain function takes predictions.
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
"""Type of a loss function: group, labels, raw outputs and ops -> values [n, k, width]."""


def mse(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the squared error, of scaled values where the task scales its target."""
    return xp.square(raw - y)


def mae(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the absolute error, of scaled values where the task scales its target."""
    return xp.abs(raw - y)


def huber(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return Huber's loss with delta 1 (Huber 1964).

    It is squared within one standard deviation of the labels and linear beyond.
    """
    error = xp.abs(raw - y)
    # Both parts of the loss in one formula: `error - inside` is 0 within delta.
    inside = xp.minimum(error, 1.0)
    return 0.5 * xp.square(inside) + (error - inside)


def log_cosh(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the logarithm of the hyperbolic cosine of the error."""
    error = xp.abs(raw - y)
    # log(cosh(e)) = e + log(1 + exp(-2e)) - log(2): no exponential of a large positive number.
    return error + xp.softplus(-2.0 * error) - math.log(2.0)


def bce(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the binary cross-entropy from logits, with label smoothing and `pos_weight`."""
    smoothing, pos_weight = group.stack("label_smoothing", 0.0), group.stack("pos_weight", 1.0)
    if smoothing is not None:
        y = xp.add(xp.multiply(y, 1.0 - smoothing), 0.5 * smoothing)
    # The same value as below for `pos_weight` 1, with one softplus in place of two.
    if pos_weight is None:
        return xp.softplus(raw) - y * raw
    return xp.multiply(y * xp.softplus(-raw), pos_weight) + (1.0 - y) * xp.softplus(raw)


def cross_entropy(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the cross-entropy over the classes from logits, with label smoothing."""
    target, smoothing = group.task.as_prediction(y, xp), group.stack("label_smoothing", 0.0)
    if smoothing is not None:
        target = xp.add(xp.multiply(target, 1.0 - smoothing), smoothing / group.task.units)
    return -xp.sum(target * xp.log_softmax(raw, axis=-1), axis=-1, keepdims=True)


def corn(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the negative log-likelihood of the level, step by step (CORN, arXiv:2111.08851).

    Shi 2021. Where we differ: the paper averages over the steps. We add them up, so that the term
    is a likelihood.
    """
    # Step s counts only for rows that reach level s; `passed` says whether they go beyond it.
    steps = np.arange(group.task.units, dtype="float32")
    reached = xp.cast(xp.greater_equal(y, steps), "float32")
    passed = xp.cast(xp.greater(y, steps), "float32")
    return xp.sum(reached * (xp.softplus(raw) - passed * raw), axis=-1, keepdims=True)


def poisson(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the negative Poisson log-likelihood from log rates, without log(y!), a constant."""
    return group.task.link(raw, xp) - y * raw


def pinball(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the pinball loss, averaged over the quantiles (Koenker & Bassett 1978)."""
    levels = np.asarray(group.task.own_config()["quantiles"], dtype="float32")
    error = y - raw
    return xp.mean(
        xp.maximum(xp.multiply(error, levels), xp.multiply(error, levels - 1.0)),
        axis=-1,
        keepdims=True,
    )


def squared_answer(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the squared distance of the predicted probability from the label (Brier 1950)."""
    return xp.square(group.task.link(raw, xp) - y)


def absolute_answer(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the distance of the predicted probability from the label."""
    return xp.abs(group.task.link(raw, xp) - y)


def brier_of_classes(group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return summed squared distances of all class probabilities from the label (Brier 1950)."""
    error = group.task.link(raw, xp) - group.task.as_prediction(y, xp)
    return xp.sum(xp.square(error), axis=-1, keepdims=True)


_SHARES: dict[str, PerRow] = {
    "bce": bce,
    "brier": squared_answer,
    "mse": squared_answer,
    "mae": absolute_answer,
}
"""Losses of kinds whose predictions are probabilities or shares."""

LOSSES: dict[str, dict[str, PerRow]] = {
    "regression": {"mse": mse, "mae": mae, "huber": huber, "log_cosh": log_cosh},
    "proportion": _SHARES,
    "binary": _SHARES,
    "multilabel": _SHARES,
    "multiclass": {"cross_entropy": cross_entropy, "brier": brier_of_classes},
    "ordinal": {"corn": corn},
    "count": {"poisson": poisson},
    "quantile": {"pinball": pinball},
}
"""Kind -> name -> numerically stable loss. Any other name is looked up in `keras.losses`."""

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
"""Names that Keras and scikit-learn use -> names of our own losses."""

OF_SHARES = {"log_loss": "bce", "cross_entropy": "bce", "crossentropy": "bce"}
"""Further names of the cross-entropy for kinds that predict one probability for each label."""


@dataclass(frozen=True)
class Term:
    """Describes one loss of a task with its weight, logged as `task/name`.

    Attributes:
        name: name in the logs.
        weight: factor of the loss within the task.
        loss: a name of `LOSSES`, a `keras.losses.Loss`, or a function.
    """

    name: str
    weight: float
    loss: Any

    @property
    def key(self) -> Any:
        """Return the key: terms of equal key in tasks of equal signature are computed together."""
        return self.loss if isinstance(self.loss, str) else keras_losses.key_of(self.loss)

    def in_user_units(self, task: Task) -> bool:
        """Return whether the term compares numbers in the user's units, not scaled ones."""
        return not isinstance(self.loss, str) and keras_losses.in_user_units(task, self.loss)

    def per_row(self, group: Group, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
        """Return one loss value for each label, [n, k, width].

        Args:
            group: the k tasks.
            y: labels, [n, k, width].
            raw: raw outputs, [n, k, units].
            xp: `keras.ops` or `polycera.tasks.numpy_ops`.
        """
        if isinstance(self.loss, str):
            return LOSSES[group.task.kind][self.loss](group, y, raw, xp)
        return foreign(self, group.task, y, raw, xp)

    def to_config(self) -> dict[str, Any]:
        """Return the term as plain JSON values.

        Raises:
            InputError: for a function that could not be found again when the file is loaded.
        """
        if isinstance(self.loss, str):
            if self.loss in (self.name, ALIASES.get(self.name), OF_SHARES.get(self.name)):
                return {"loss": self.name, "weight": self.weight}
            return {"loss": self.loss, "weight": self.weight, "name": self.name}
        import keras

        loss_type = type(self.loss) if isinstance(self.loss, keras.losses.Loss) else self.loss
        name = keras.saving.get_registered_name(loss_type)
        of_keras = getattr(keras.losses, name, None) is loss_type
        if not of_keras and keras.saving.get_registered_object(name) is None:
            raise InputError(
                f"Loss {self.name!r} cannot be saved by name: "
                "put @keras.saving.register_keras_serializable() above its definition."
            )
        # Built once from what is written, to see now whether it would come back with its settings.
        serialized = keras.saving.serialize_keras_object(self.loss)
        reloaded = loss_from_config.loss(serialized, f"Loss {self.name!r}")
        settings = keras_losses.arguments_of(self.loss)
        # Keras 3.15.1 does not write the delta of Huber.
        if keras_losses.arguments_of(reloaded) != settings:
            raise InputError(
                f"Loss {self.name!r} would lose its settings {shorten(repr(settings))} when saved, "
                "because Keras does not write them down: put the loss into a registered function."
            )
        config = {"loss": serialized, "weight": self.weight}
        return config if self.name == _name_of(reloaded) else config | {"name": self.name}


def foreign(term: Term, task: Task, y: Tensor, raw: Tensor, xp: Any) -> Tensor:
    """Return the values of a Keras loss or a user's function for all tasks that share it.

    The function is called once. Rows and tasks are folded into one axis, because a loss gives one
    value for each row and needs no knowledge of the task.
    """
    function = keras_losses.from_raw(task, term.loss)
    logits = function is not None or wants_logits(term.loss)
    function = function or keras_losses.from_predictions(term.loss)
    predicted = raw if logits else task.link(raw, xp)
    index = keras_losses.takes_index(term.loss)
    true = y if index else task.as_prediction(y, xp)
    shape = tuple(predicted.shape)
    lead, depth = shape[1:-1], shape[-1]
    # Each label becomes a row of its own, so that a missing one can be left out.
    if task.kind == "multilabel":
        lead, depth = (*lead, depth), 1
    values = function(
        xp.reshape(true, (-1, 1 if index else depth)), xp.reshape(predicted, (-1, depth))
    )
    # The batch size is None while a graph is traced with an open batch axis: not checked then.
    count = math.prod(lead) if shape[0] is None else shape[0] * math.prod(lead)
    wrong_shape = len(values.shape) < 1 or tuple(values.shape[1:]) not in ((), (1,))
    if wrong_shape or values.shape[0] not in (None, None if shape[0] is None else count):
        raise InputError(
            f"Loss {term.name!r} of task {shorten(task.name)!r} returned shape "
            f"{list(values.shape)}, expected one value a row [n]: leave the averaging to "
            f"polycera{_averaged(values)}."
        )
    values = xp.reshape(values, (-1, *lead))
    return values if task.kind == "multilabel" else values[..., None]


def _averaged(values: Tensor) -> str:
    """Return a hint for a loss that reduces all rows to one number, else an empty text."""
    if len(values.shape):
        return ""
    return (
        ", which takes the mean over the rows that have a label; write ops.mean(..., axis=-1) in "
        "place of ops.mean(...), and call(y_true, y_pred) in place of a loss that reduces by itself"
    )


def wants_logits(loss: Any) -> bool:
    """Return whether a loss written by the user declares that it takes raw outputs."""
    is_users = keras_losses.class_of(loss) is None and hasattr(loss, "get_config")
    return is_users and bool(
        loss.get_config().get("from_logits", keras_losses.family_of(loss) == "margin")
    )


def parse(spec: Any, task: Task) -> tuple[Term, ...]:
    """Return the loss terms for any of the accepted ways to write them.

    Raises:
        InputError: for no term, a name that occurs twice, or a weight that is no number >= 0.
        UnknownName: for a loss that neither polycera nor Keras knows.
    """
    # A dict with "class_name" is one loss that Keras serialised, not a dict of losses to weights.
    if isinstance(spec, Mapping) and "class_name" not in spec:
        pairs = list(spec.items())
    elif isinstance(spec, list | tuple):
        pairs = [_pair(item, task) for item in spec]
    else:
        pairs = [(spec, 1.0)]
    loss_terms = tuple(_term(loss, weight, task) for loss, weight in pairs)
    names = [term.name for term in loss_terms]
    named_losses = [term.loss for term in loss_terms if isinstance(term.loss, str)]
    if not loss_terms or len(set(names)) < len(names) or len(set(named_losses)) < len(named_losses):
        what = (
            "has no loss term"
            if not loss_terms
            else f"has two loss terms of one name: {', '.join(names)}"
        )
        raise InputError(
            f"Task {shorten(task.name)!r} {what}; give one or more, each with a name of its own."
        )
    return loss_terms


def factor(value: Any, what: str) -> float:
    """Return a weight as a float.

    Raises:
        InputError: unless it is a finite number, 0 or more.
    """
    is_number = isinstance(value, int | float) or (
        hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0
    )
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:  # an integer beyond the range of float
        number = math.inf
    if not 0 <= number < math.inf:
        raise InputError(
            f"Expected {what} to be a finite number, 0 or more, got {shorten(value)!r}."
        )
    return number


def _pair(item: Any, task: Task) -> tuple[Any, float]:
    """Return the loss and the weight of one item of a list of losses."""
    if isinstance(item, Term):
        return item, item.weight
    if isinstance(item, Mapping) and {"loss", "weight"} <= set(item) <= {"loss", "weight", "name"}:
        term_name = item.get("name")
        if not isinstance(term_name, str | None):
            raise InputError(
                f"A loss of task {shorten(task.name)!r} has the name {shorten(repr(term_name))}, "
                "which is not a text."
            )
        if term_name is not None:
            term = _term(item["loss"], item["weight"], task)
            return Term(term_name, term.weight, term.loss), term.weight
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
    """Return the loss term for a loss in any accepted form and its weight."""
    if isinstance(loss, Term):
        return loss
    weight = factor(weight, f"the weight of a loss of task {shorten(task.name)!r}")
    if isinstance(loss, str):
        return _by_name(loss, weight, task)
    if isinstance(loss, Mapping):
        loss = loss_from_config.loss(loss, f"A loss of task {shorten(task.name)!r}")
    if isinstance(loss, type):
        raise InputError(
            f"A loss of task {shorten(task.name)!r} is the class {loss.__name__}; expected an "
            f"instance: {loss.__name__}()."
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
    """Return the name in the logs for a loss that is an object or a function."""
    loss = loss.func if isinstance(loss, functools.partial) else loss
    name = getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__)
    # "<lambda>" loses its brackets; "/" separates task and term in the logs.
    return str(name).strip("<>").replace("/", "_")


def _by_name(name: str, weight: float, task: Task) -> Term:
    """Return our own loss of this name for the kind, else the loss of Keras of this name."""
    known = LOSSES[task.kind]
    own_name = ALIASES.get(name, name)
    if own_name not in known and "bce" in known:
        own_name = OF_SHARES.get(name, own_name)
    if own_name in known:
        return Term(name, weight, own_name)
    keras_loss = keras_losses.named(name)
    if keras_loss is None:
        names = [*known, *(alias for alias, target in ALIASES.items() if target in known)]
        raise UnknownName(
            "loss", name, names, f"Task {shorten(task.name)!r} also takes any name of keras.losses."
        )
    return Term(name.replace("/", "_"), weight, keras_loss())
