"""Map each loss of Keras to what it compares, and refuse losses that do not fit a task.

Keras offers each loss as a name, a function and a class. Here the three are one loss, so its value,
its units and its speed do not depend on how it was written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from polycera.errors import InputError, shorten
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.tasks.task import Task
    from polycera.tasks.terms import Term

FAMILIES = {
    "MeanSquaredError": "distance",
    "MeanAbsoluteError": "distance",
    "Huber": "distance",
    "LogCosh": "distance",
    "MeanAbsolutePercentageError": "ratio",
    "MeanSquaredLogarithmicError": "logarithm",
    "Poisson": "rate",
    "BinaryCrossentropy": "share",
    "BinaryFocalCrossentropy": "share",
    "CategoricalCrossentropy": "classes",
    "CategoricalFocalCrossentropy": "classes",
    "CategoricalGeneralizedCrossEntropy": "index",
    "SparseCategoricalCrossentropy": "index",
    "KLDivergence": "classes",
    "CosineSimilarity": "direction",
    "Hinge": "margin",
    "SquaredHinge": "margin",
    "CategoricalHinge": "margin of classes",
    "Dice": "batch",
    "Tversky": "batch",
    "Circle": "batch",
    "CTC": "sequence",
}
"""Class of `keras.losses` -> what it compares. A test checks that no class of Keras is missing."""

_NUMBERS = {"distance", "ratio", "logarithm"}
"""What a loss may compare where predictions are real numbers."""

_ONE = {"distance", "logarithm", "rate", "share"}
"""What a loss may compare where each prediction is one number from 0 to 1."""

_SEVERAL = {"distance", "logarithm", "rate", "share", "classes", "direction"}
"""What a loss may compare where predictions are the probabilities of several classes."""

FITS = {
    "regression": _NUMBERS,
    "quantile": _NUMBERS,
    "count": _NUMBERS | {"rate"},
    "proportion": _ONE | {"ratio"},
    "binary": _ONE | {"margin"},
    "multilabel": _ONE | {"margin"},
    "soft multilabel": _ONE | {"ratio"},
    "multiclass": _SEVERAL | {"index", "margin", "margin of classes"},
    "soft multiclass": _SEVERAL,
    "ordinal": _SEVERAL | {"index"},
}
"""Kind -> what a loss may compare.

`RANGES` adds losses for regression heads that cannot predict every number.
"""

RANGES: dict[str, set[str]] = {"any": set(), "positive": {"rate"}, "unit": {"rate", "share"}}
"""Numbers that a regression head can predict -> what a loss may compare beside `FITS`."""

GIVES = {
    "regression": "a regression predicts any number",
    "quantile": "a quantile task predicts several levels of one number",
    "count": "a count predicts one rate",
    "proportion": "a proportion predicts one number from 0 to 1",
    "binary": "a binary task predicts one probability",
    "multilabel": "a multilabel task predicts one probability for each label",
    "soft multilabel": "a soft multilabel task predicts one number from 0 to 1 for each label",
    "multiclass": "a multiclass task predicts a probability for each class",
    "soft multiclass": "a soft multiclass task has a share of each class as its label",
    "ordinal": "an ordinal task predicts a probability for each level",
}
"""Kind -> what its tasks predict, for error messages."""

TAKES = {
    "ratio": "divides by the label, which can be 0",
    "rate": "takes the logarithm of the prediction",
    "share": "compares numbers from 0 to 1",
    "classes": "compares the probabilities of several classes",
    "index": "takes the number of a class",
    "direction": "compares directions, and one number has none",
    "margin": "takes binary labels and scores",
    "margin of classes": "takes scores of several classes, and a label that is one of them",
    "batch": "gives one number for a whole batch, or compares its rows with each other",
    "sequence": "compares sequences",
}
"""What a loss compares -> what that requires, for error messages."""

_DEFAULT = {
    "regression": "'mse'",
    "quantile": "'pinball'",
    "count": "'poisson'",
    "proportion": "'bce'",
    "binary": "'bce'",
    "multilabel": "'bce'",
    "soft multilabel": "'bce'",
    "multiclass": "'cross_entropy'",
    "soft multiclass": "'cross_entropy'",
    "ordinal": "'corn'",
}
"""Kind -> its default loss as it is written in error messages."""


def class_of(loss: Any) -> Any:
    """Return the class of `keras.losses` that computes a loss, or None for the user's own losses.

    Args:
        loss: an instance of exactly that class, or the function of the same name.
    """
    import keras

    # By identity: a subclass, or another function of the same name, may compute something else.
    if isinstance(loss, keras.losses.Loss):
        keras_class = getattr(keras.losses, type(loss).__name__, None)
        return keras_class if keras_class is type(loss) else None
    name = getattr(loss, "__name__", "")
    return named(name) if name and getattr(keras.losses, name, None) is loss else None


def named(name: str) -> Any:
    """Return the class of `keras.losses` for any of the names that Keras accepts, or None."""
    import keras

    plain_name = _plain(name)
    if plain_name in _classes():
        return _classes()[plain_name]
    try:
        loss = keras.losses.get(name)
    except (TypeError, ValueError):  # an unknown name, or a base class that has no instances
        return None
    return _classes().get(_plain(getattr(loss, "__name__", type(loss).__name__)))


@functools.cache
def _classes() -> dict[str, Any]:
    """Return the loss classes of the installed Keras by plain name."""
    import keras

    classes = {}
    for name, value in vars(keras.losses).items():
        if (
            isinstance(value, type)
            and issubclass(value, keras.losses.Loss)
            and value is not keras.losses.Loss
        ):
            classes[_plain(name)] = value
    return classes


def _plain(name: str) -> str:
    """Return a name without case and underscores: `MeanSquaredError` is `mean_squared_error`."""
    return name.replace("_", "").lower()


def family_of(loss: Any) -> str | None:
    """Return what a loss compares, a value of `FAMILIES`, or None if that is not known.

    Subclasses and `functools.partial` of a loss of Keras are known too.
    """
    if isinstance(loss, functools.partial):
        return family_of(loss.func)
    keras_class = class_of(loss)
    bases = type(loss).__mro__ if keras_class is None else (keras_class,)
    keras_classes = set(_classes().values())
    keras_base = next((base for base in bases if base in keras_classes), None)
    family = None if keras_base is None else FAMILIES.get(keras_base.__name__)
    if family == "batch" and settings_of(loss).get("axis") is not None:
        # With an axis, Dice and Tversky give one value for each row.
        return "classes"
    return family


def arguments_of(loss: Any) -> dict[str, Any]:
    """Return what a loss of Keras passes to its function, by name; empty for any other loss."""
    # Keras 3.15.1 leaves the delta of Huber out of `get_config`, so there is no public way to it.
    # This room may not import `layers.keras_graph`, which has Keras's other private names.
    return dict(getattr(loss, "_fn_kwargs", {}))


def settings_of(loss: Any) -> dict[str, Any]:
    """Return the settings of a loss of Keras that change its value, by name."""
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    settings = {**config, **arguments_of(loss)}
    return {
        name: value
        for name, value in settings.items()
        if name not in ("name", "reduction", "dtype", "fn")
    }


def key_of(loss: Any) -> Any:
    """Return a key that is equal for losses that compute the same.

    Tasks whose losses have equal keys are computed together.
    """
    keras_class = class_of(loss)
    if keras_class is not None:
        settings = settings_of(loss if isinstance(loss, keras_class) else keras_class())
        return (
            keras_class.__name__,
            *sorted((name, repr(setting)) for name, setting in settings.items()),
        )
    code = getattr(loss, "__code__", None)
    # Without closure, defaults and attributes a function is its code and its globals.
    is_stateless = code is not None and loss.__closure__ is None and not loss.__dict__
    if is_stateless and loss.__defaults__ is None and loss.__kwdefaults__ is None:
        # So a lambda that a loop made for each of 200 tasks counts as one function.
        return (code, id(loss.__globals__))
    return id(loss)


def from_raw(task: Task, loss: Any) -> Callable[[Any, Any], Any] | None:
    """Return a loss of Keras as a function of labels and raw outputs, or None.

    None means that the loss needs predictions: see `from_predictions`. A cross-entropy is computed
    from logits wherever the raw outputs are the logits of the same link, whatever `from_logits` is:
    the value is the same, and it is exact at any logit. Margin losses take scores.
    """
    keras_class = class_of(loss)
    if keras_class is None:
        return None
    family = FAMILIES.get(keras_class.__name__)
    if family in ("margin", "margin of classes"):
        return _call(loss, keras_class)
    if not _logits_of(task, family):
        return None
    config = dict(loss.get_config()) if isinstance(loss, keras_class) else {}
    from_logits = (
        keras_class.from_config({**config, "from_logits": True})
        if "from_logits" in keras_class().get_config()
        else None
    )
    return None if from_logits is None else from_logits.call


def from_predictions(loss: Any) -> Callable[[Any, Any], Any]:
    """Return a loss as a function of labels and predictions."""
    keras_class = class_of(loss)
    if keras_class is None:
        return getattr(loss, "call", loss)
    if keras_class.__name__ == "CategoricalGeneralizedCrossEntropy":
        import keras

        # Keras 3.15.1 broadcasts indices [n, 1] against predictions [n, classes] into [n, n].
        q, generalized = (
            settings_of(loss).get("q", 0.5),
            keras.losses.categorical_generalized_cross_entropy,
        )
        return lambda y, p: generalized(y[:, 0], p, q=q)
    return _call(loss, keras_class)


def _call(loss: Any, keras_call: Any) -> Callable[[Any, Any], Any]:
    """Return a loss object or loss function of Keras as a function of labels and predictions."""
    loss_object = loss if isinstance(loss, keras_call) else keras_call()
    return loss_object.call


def takes_index(loss: Any) -> bool:
    """Return whether a loss takes the index of the class and not a one-hot label."""
    return family_of(loss) == "index"


def in_user_units(task: Task, loss: Any) -> bool:
    """Return whether a loss needs labels and predictions in the user's units.

    That is so where the loss has another meaning for scaled targets.
    """
    return task.kind in ("regression", "quantile") and family_of(loss) in (
        "ratio",
        "logarithm",
        "rate",
        "share",
    )


def _logits_of(task: Task, family: str | None) -> bool:
    """Return whether the raw outputs of the task are the logits that such a loss takes."""
    if family == "share":
        return task.kind in ("binary", "multilabel", "proportion")
    return family in ("classes", "index") and task.kind == "multiclass"


# -- checks ----------------------------------------------------------------------------------------


def check_fit(task: Task, answers: str = "any") -> None:
    """Refuse losses of Keras whose domain does not fit what the task predicts.

    Args:
        task: the task with its terms.
        answers: the numbers that a regression head can predict, a key of `RANGES`.

    Raises:
        InputError: naming the task, the loss, and what to use instead.
    """
    kind = task.measured_as
    fits = FITS[kind] | (RANGES[answers] if kind == "regression" else set())
    for term in task.terms:
        if isinstance(term.loss, str):
            continue
        family = family_of(term.loss)
        if family is not None and family not in fits:
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} "
                f"{TAKES[family]}, and {GIVES[kind]}; {_way_out(task.name, kind, family)}."
            )
        if (
            settings_of(term.loss).get("from_logits")
            and not _logits_of(task, family)
            and family is not None
        ):
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} has "
                f"from_logits=True, and {GIVES[kind]}, which is not a logit; leave from_logits "
                "out."
            )


def _way_out(name: TaskName, kind: str, family: str) -> str:
    """Return the end of an error message: what to use in place of a loss that does not fit."""
    quoted = repr(shorten(name))
    if kind in ("regression", "quantile", "count"):
        instead = {
            "share": (
                f"use pc.Proportion({quoted}) for shares from 0 to 1, or pc.Binary({quoted}) for "
                "two classes"
            ),
            "rate": f"use pc.Count({quoted}), which predicts rates above 0",
            "classes": f"use pc.Multiclass({quoted}) for classes",
            "index": f"use pc.Multiclass({quoted}) for classes",
            "margin": f"use pc.Binary({quoted}) for two classes",
            "margin of classes": f"use pc.Multiclass({quoted}) for classes",
        }
        if family in instead:
            return instead[family]
    if kind.startswith("soft") and family in ("index", "margin", "margin of classes"):
        return (
            f"use {_DEFAULT[kind]}, or leave soft=True out where each label is one of the classes "
            "or 0 and 1"
        )
    return f"use {_DEFAULT[kind]}, the default"


def check_settings(task_name: TaskName, name: str, loss: Any) -> None:
    """Refuse a reduction that would be ignored.

    polycera always takes the mean over the rows that have a label.

    Raises:
        InputError: naming the task, the loss and the reduction.
    """
    reduction = getattr(loss, "reduction", None)
    if class_of(loss) is not None and reduction in ("sum", "mean_with_sample_weight"):
        raise InputError(
            f"Task {shorten(task_name)!r}: the loss {name!r} has reduction={reduction!r}, and "
            "polycera takes the mean over the rows that have a label; leave reduction out, and "
            "use the weight of the loss for its scale."
        )


def check_labels(task: Task, encoded: Array) -> None:
    """Refuse labels for which a loss of the task is not defined.

    Args:
        task: the task with its terms.
        encoded: labels [n, width] in the user's units, NaN where missing.

    Raises:
        InputError: naming the task, the loss, the label and its row.
    """
    for term in task.terms:
        undefined = _undefined(task, term, encoded)
        if undefined is None:
            continue
        mask, expected = undefined
        if mask.any():
            row, column = (int(i) for i in np.argwhere(mask)[0])
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} {expected}, "
                f"and row {row} has the label {encoded[row, column]:g}; use another loss, or leave "
                "such rows out."
            )


def defined(task: Task, labels: Any, xp: Any) -> Any:
    """Return where all losses of a task are defined, as bool, or None if that is everywhere.

    Args:
        task: the task with its terms.
        labels: encoded labels in the user's units, [..., width]; may hold NaN.
        xp: `keras.ops` or `polycera.tasks.numpy_ops`.
    """
    everywhere = None
    for term in task.terms:
        if (undefined := _undefined(task, term, labels)) is not None:
            is_defined = xp.logical_not(undefined[0])
            everywhere = (
                is_defined if everywhere is None else xp.logical_and(everywhere, is_defined)
            )
    return everywhere


def labels_wanted(task: Task) -> str:
    """Return a phrase for warnings: what the kind and the losses of a task require of a label."""
    domains = [
        (term.name, _undefined(task, term, np.zeros((1, task.width)))) for term in task.terms
    ]
    phrases = [f"; the loss {name!r} {bad[1]}" for name, bad in domains if bad is not None]
    return task.wanted + "".join(phrases)


def _undefined(task: Task, term: Term, encoded: Any) -> tuple[Any, str] | None:
    """Return where labels [..., width] are outside of the domain of a term, and a phrase for it.

    None means that the term takes every label of the kind.
    """
    if isinstance(term.loss, str) or task.measured_as not in _LABELLED:
        return None
    family = family_of(term.loss)
    if family == "ratio":
        return encoded == 0, "divides by the label"
    if task.kind not in ("regression", "quantile"):
        return None
    if family in ("logarithm", "rate"):
        return encoded < 0, "takes labels of 0 and above"
    if family == "share":
        return (encoded < 0) | (encoded > 1), "takes labels from 0 to 1"
    return None


_LABELLED = ("regression", "quantile", "count", "proportion", "soft multilabel")
"""Kinds whose labels are numbers, for some of which a loss may be undefined."""
