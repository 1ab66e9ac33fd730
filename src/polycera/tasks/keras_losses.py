"""What each loss of Keras compares: a task gives it just that, or refuses it in one sentence.

Keras has each loss under a name, as a function and as a class. Here the three are one, so that no
loss has another value, other units or another speed for the way in which it was written.
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
"""Class of `keras.losses` -> what it compares. Tests hold this against all that Keras has."""

_NUMBERS = {"distance", "ratio", "logarithm"}
_ONE = {"distance", "logarithm", "rate", "share"}
_SEVERAL = {"distance", "logarithm", "rate", "share", "classes", "direction"}

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
"""Kind -> what a loss may compare. A regression head that cannot answer every number may take more: see `RANGES`."""

RANGES: dict[str, set[str]] = {"any": set(), "positive": {"rate"}, "unit": {"rate", "share"}}
"""Numbers that a regression head can answer -> what a loss may compare beside `FITS`."""

GIVES = {
    "regression": "a regression answers any number",
    "quantile": "a quantile task answers several levels of one number",
    "count": "a count answers one rate",
    "proportion": "a proportion answers one number from 0 to 1",
    "binary": "a binary task answers one probability",
    "multilabel": "a multilabel task answers one probability a label",
    "soft multilabel": "a soft multilabel task answers one number from 0 to 1 a label",
    "multiclass": "a multiclass task answers a probability for each class",
    "soft multiclass": "a soft multiclass task has a share of each class as its label",
    "ordinal": "an ordinal task answers a probability for each level",
}

TAKES = {
    "ratio": "divides by the label, which is 0 in part",
    "rate": "takes the logarithm of the answer",
    "share": "compares numbers from 0 to 1",
    "classes": "compares the probabilities of several classes",
    "index": "takes the number of a class",
    "direction": "compares directions, and one number has none",
    "margin": "takes labels of yes or no, and scores",
    "margin of classes": "takes scores of several classes, and a label that is one of them",
    "batch": "gives one number for a whole batch, or compares its rows with each other",
    "sequence": "compares sequences",
}

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


def class_of(loss: Any) -> Any:
    """Return the class of `keras.losses` that computes a loss, or None for a loss of the user's own.

    Args:
        loss: an instance of exactly that class, or the function of the same name.
    """
    import keras

    if isinstance(loss, keras.losses.Loss):
        known = getattr(keras.losses, type(loss).__name__, None)
        return known if known is type(loss) else None
    name = getattr(loss, "__name__", "")
    return named(name) if name and getattr(keras.losses, name, None) is loss else None


def named(name: str) -> Any:
    """Return the class of `keras.losses` behind any of the names that Keras knows it by, or None."""
    import keras

    plain = _plain(name)
    if plain in _classes():
        return _classes()[plain]
    try:
        loss = keras.losses.get(name)
    except (TypeError, ValueError):  # a base of losses, which cannot be made
        return None
    return _classes().get(_plain(getattr(loss, "__name__", type(loss).__name__)))


@functools.cache
def _classes() -> dict[str, Any]:
    """Plain name -> class, of all losses of this Keras."""
    import keras

    found = {}
    for name, value in vars(keras.losses).items():
        if (
            isinstance(value, type)
            and issubclass(value, keras.losses.Loss)
            and value is not keras.losses.Loss
        ):
            found[_plain(name)] = value
    return found


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def family_of(loss: Any) -> str | None:
    """Return what a loss compares, also for a subclass or a `functools.partial` of one of Keras; None if not known."""
    if isinstance(loss, functools.partial):
        return family_of(loss.func)
    own = class_of(loss)
    bases = type(loss).__mro__ if own is None else (own,)
    classes = set(_classes().values())
    known = next((base for base in bases if base in classes), None)
    family = None if known is None else FAMILIES.get(known.__name__)
    if family == "batch" and settings_of(loss).get("axis") is not None:
        return "classes"  # Dice and Tversky over the classes give one value a row
    return family


def settings_of(loss: Any) -> dict[str, Any]:
    """Return the settings of a loss of Keras that shape its value, by name."""
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    # Keras 3.15.1 leaves the delta of Huber out of the config
    own = getattr(loss, "_fn_kwargs", {})
    settings = {**config, **own}
    return {
        name: value
        for name, value in settings.items()
        if name not in ("name", "reduction", "dtype", "fn")
    }


def key_of(loss: Any) -> Any:
    """Return what losses that compute the same have in common, so that tasks that have them are computed as one."""
    own = class_of(loss)
    if own is not None:
        settings = settings_of(loss if isinstance(loss, own) else own())
        return (own.__name__, *sorted((name, repr(value)) for name, value in settings.items()))
    code = getattr(loss, "__code__", None)
    plain = code is not None and loss.__closure__ is None and not loss.__dict__
    if plain and loss.__defaults__ is None and loss.__kwdefaults__ is None:
        # a lambda made anew for each of 200 tasks is one function
        return (code, id(loss.__globals__))
    return id(loss)


def from_raw(task: Task, loss: Any) -> Callable[[Any, Any], Any] | None:
    """Return the function of labels and raw outputs that computes a loss of Keras, or None where it needs answers.

    A cross-entropy is computed from logits wherever the task has those of the same link, whatever
    `from_logits` says: the value is the same, and it is right at any logit. Margin losses take
        scores.
    """
    own = class_of(loss)
    if own is None:
        return None
    family = FAMILIES.get(own.__name__)
    if family in ("margin", "margin of classes"):
        return _call(loss, own)
    if not _logits_of(task, family):
        return None
    config = dict(loss.get_config()) if isinstance(loss, own) else {}
    made = (
        own.from_config({**config, "from_logits": True})
        if "from_logits" in own().get_config()
        else None
    )
    return None if made is None else made.call


def from_answers(loss: Any) -> Callable[[Any, Any], Any]:
    """Return the function of labels and answers that computes a loss."""
    own = class_of(loss)
    if own is None:
        return getattr(loss, "call", loss)
    if own.__name__ == "CategoricalGeneralizedCrossEntropy":
        import keras

        # Keras 3.15.1 broadcasts indices [n, 1] against answers [n, classes] into [n, n]
        q, generalized = (
            settings_of(loss).get("q", 0.5),
            keras.losses.categorical_generalized_cross_entropy,
        )
        return lambda y, p: generalized(y[:, 0], p, q=q)
    return _call(loss, own)


def _call(loss: Any, own: Any) -> Callable[[Any, Any], Any]:
    made = loss if isinstance(loss, own) else own()
    return made.call


def takes_index(loss: Any) -> bool:
    """Return whether a loss takes the number of the class where others take it one-hot."""
    return family_of(loss) == "index"


def in_user_units(task: Task, loss: Any) -> bool:
    """Return whether a loss means something else in standardised numbers, so that it gets the user's own."""
    return task.kind in ("regression", "quantile") and family_of(loss) in (
        "ratio",
        "logarithm",
        "rate",
        "share",
    )


def _logits_of(task: Task, family: str | None) -> bool:
    """Return whether raw outputs of the task are the logits that such a loss is about."""
    if family == "share":
        return task.kind in ("binary", "multilabel", "proportion")
    return family in ("classes", "index") and task.kind == "multiclass"


# -- what is refused -----------------------------------------------------------------------------------------------


def check_fit(task: Task, answers: str = "any") -> None:
    """Refuse losses of Keras whose domain does not fit what the task gives.

    Args:
        task: with its terms.
        answers: the numbers that a regression head can answer, a key of `RANGES`.

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
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} {TAKES[family]}, "
                f"and {GIVES[kind]}; {_way_out(task.name, kind, family)}."
            )
        if (
            settings_of(term.loss).get("from_logits")
            and not _logits_of(task, family)
            and family is not None
        ):
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} has from_logits=True, and "
                f"{GIVES[kind]}, no logit of this loss; leave from_logits out."
            )


def _way_out(name: TaskName, kind: str, family: str) -> str:
    quoted = repr(shorten(name))
    if kind in ("regression", "quantile", "count"):
        instead = {
            "share": f"use pc.Proportion({quoted}) for shares from 0 to 1, or pc.Binary({quoted}) for yes or no",
            "rate": f"use pc.Count({quoted}), which answers rates above 0",
            "classes": f"use pc.Multiclass({quoted}) for classes",
            "index": f"use pc.Multiclass({quoted}) for classes",
            "margin": f"use pc.Binary({quoted}) for yes or no",
            "margin of classes": f"use pc.Multiclass({quoted}) for classes",
        }
        if family in instead:
            return instead[family]
    if kind.startswith("soft") and family in ("index", "margin", "margin of classes"):
        return f"use {_DEFAULT[kind]}, or leave soft=True out where each label is one of the classes or 0 and 1"
    return f"use {_DEFAULT[kind]}, the default"


def check_settings(task_name: TaskName, name: str, loss: Any) -> None:
    """Refuse a reduction that would be ignored: polycera always takes the mean over the rows that have a label.

    Raises:
        InputError: naming the task, the loss and the reduction.
    """
    reduction = getattr(loss, "reduction", None)
    if class_of(loss) is not None and reduction in ("sum", "mean_with_sample_weight"):
        raise InputError(
            f"Task {shorten(task_name)!r}: the loss {name!r} has reduction={reduction!r}, and polycera takes the mean "
            "over the rows that have a label; leave reduction out, and use the weight of the loss for its scale."
        )


def check_labels(task: Task, encoded: Array) -> None:
    """Refuse labels for which a loss of the task is not defined.

    Args:
        task: with its terms.
        encoded: labels [n, width] in the user's units, NaN where missing.

    Raises:
        InputError: naming the task, the loss, the label and its row.
    """
    for term in task.terms:
        bad = _undefined(task, term, encoded)
        if bad is None:
            continue
        mask, expected = bad
        if mask.any():
            row, column = (int(i) for i in np.argwhere(mask)[0])
            raise InputError(
                f"Task {shorten(task.name)!r} ({task.kind}): the loss {term.name!r} {expected}, "
                f"and row {row} has the label {encoded[row, column]:g}; use another loss, or leave such rows out."
            )


def defined(task: Task, labels: Any, xp: Any) -> Any:
    """Return where the losses of a task are defined, bool, or None where they are everywhere.

    Args:
        task: with its terms.
        labels: encoded, in the user's units, [..., width]; NaN anywhere.
        xp: `keras.ops` or `polycera.tasks.numpy_ops`.
    """
    found = None
    for term in task.terms:
        if (bad := _undefined(task, term, labels)) is not None:
            good = xp.logical_not(bad[0])
            found = good if found is None else xp.logical_and(found, good)
    return found


def labels_wanted(task: Task) -> str:
    """Return what a label must be, for the sentence of a warning; what its losses ask for too."""
    asked = [(term.name, _undefined(task, term, np.zeros((1, task.width)))) for term in task.terms]
    each = [f"; the loss {name!r} {bad[1]}" for name, bad in asked if bad is not None]
    return task.wanted + "".join(each)


def _undefined(task: Task, term: Term, encoded: Any) -> tuple[Any, str] | None:
    """Return where labels [..., width] are outside of what a term takes, and what it takes; None where nothing is."""
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
"""Kinds whose labels are numbers, which a loss may not take all of."""
