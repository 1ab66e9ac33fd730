"""Infer the task for a column of labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.data.cells.scales import known_order
from polycera.data.column import Values, all_missing, canonical, distinct, is_whole, kind_of
from polycera.errors import InputError, listing, shorten
from polycera.tasks import Binary, Multiclass, Regression, Task

FEW = 10
"""Maximum number of different values of whole numbers that count as classes."""
SMALL = 20
"""Largest of these values."""
_YES = (
    *("true", "yes", "y", "t", "positive", "1", "on"),
    *("ja", "oui", "si", "sí", "sì", "sim", "da", "tak", "да", "wahr", "vrai"),
)
"""Words that name the positive class, in English and in some other languages."""
_NO = (
    *("false", "no", "n", "f", "negative", "0", "off"),
    *("nein", "non", "nej", "nei", "nee", "nie", "não", "нет", "falsch", "faux"),
)
"""Words that name the negative class."""


def infer_task(name: str, values: Any) -> tuple[Task, str]:
    """Return the task for a column of labels, and a sentence on why.

    Two values are binary, text is multiclass, numbers are regression. Whole numbers that are few
    and small are multiclass. Classes keep the user's type. Ordinal, count, quantile and proportion
    are never inferred.

    Args:
        name: name of the column.
        values: labels [n], missing ones allowed.

    Raises:
        InputError: for no label at all, and for dates as labels.

    Examples:
        >>> infer_task("churn", ["No", "Yes", None])
        (Binary('churn'), "two values; 'Yes' is the positive one.")
    """
    column = canonical(values, name)
    return task_of_levels(name, column, levels_of(name, column))


def task_of_levels(name: str, column: Values, levels: list[Any]) -> tuple[Task, str]:
    """Return what `infer_task` does for a canonical column [n] with its different labels."""
    if len(levels) == 1:
        return _of_one(name, column, levels[0])
    if len(levels) == 2:
        negative, positive = poles(levels)
        return Binary(
            name, classes=(negative, positive)
        ), f"two values; {positive!r} is the positive one."
    if kind_of(column) == "text":
        reason = f"text of {len(levels)} classes"
        if (scale := known_order(levels)) is not None:
            reason += f"; they are a scale ({listing(scale)}): kind 'ordinal' keeps its order"
        return Multiclass(name, classes=levels), f"{reason}."
    # Numbers such as 0, 1, 2 may be counts or grades too, so the reason names the other kinds.
    if is_whole(column) and len(levels) <= FEW and levels[0] >= 0 and levels[-1] <= SMALL:
        reason = (
            f"{len(levels)} small whole numbers; if they are not classes, declare kind 'ordinal', "
            "'count' or 'regression'."
        )
        return Multiclass(name, classes=levels), reason
    reason = f"{len(levels)} different numbers from {levels[0]:.6g} to {levels[-1]:.6g}"
    if levels[0] >= 0 and levels[-1] <= 1:
        return Regression(name), (
            f"{reason}; if these are proportions, kind 'proportion' keeps predictions between 0 "
            "and 1."
        )
    return Regression(name), f"{reason}."


def levels_of(name: str, column: Values, known: list[Any] | None = None) -> list[Any]:
    """Return the different labels of a column [n], sorted.

    Args:
        name: of the task, for errors.
        column: canonical, [n].
        known: its different values, sorted, where somebody has them already.

    Raises:
        InputError: where there is no label, or the labels cannot be predicted (dates, infinity).
    """
    if all_missing(column):
        raise InputError(
            f"The task {shorten(name)!r} has no label at all: all {len(column)} rows are missing."
        )
    if kind_of(column) == "date":
        raise InputError(
            f"The task {shorten(name)!r} has dates as labels, which cannot be predicted; "
            "give the days since some event as a number."
        )
    if column.dtype.kind == "f" and np.isinf(column).any():
        raise InputError(
            f"The task {shorten(name)!r} has an infinite label "
            f"in row {int(np.isinf(column).argmax())}."
        )
    return distinct(column) if known is None else known


def two(name: str, levels: list[Any]) -> list[Any]:
    """Return the levels if there are two; InputError otherwise."""
    if len(levels) != 2:
        raise InputError(
            f"The task {shorten(name)!r} is declared binary and has {len(levels)} "
            f"value{'s' * (len(levels) != 1)}: {listing(levels, 5)}; two are expected."
        )
    return levels


def pair_of_one(only: Any) -> tuple[Any, Any]:
    """Return (negative, positive) classes for labels that are all the same.

    They are 0 and 1, or the label and an invented opposite.

    The first is the negative one.

    Examples:
        >>> pair_of_one("yes"), pair_of_one("no"), pair_of_one(0.0)
        (('not yes', 'yes'), ('no', 'not no'), (0.0, 1.0))
    """
    # The other class of 0 or 1 is known; of any other label it has to be named.
    if isinstance(only, bool) or only in (0, 1):
        return type(only)(0), type(only)(1)
    other = f"not {only:g}" if isinstance(only, float) else f"not {only}"
    return (only, other) if _word(only) in _NO else (other, only)


def poles(levels: list[Any]) -> tuple[Any, Any]:
    """Return (negative, positive): by the meaning of the words if they have one, else in order."""
    first, second = levels
    swapped = _word(first) in _YES and _word(second) not in _YES
    swapped = swapped or (_word(second) in _NO and _word(first) not in _NO)
    return (second, first) if swapped else (first, second)


def _word(value: Any) -> str | None:
    """Return a text in lower case, stripped; None for a number, whose order decides."""
    return value.strip().lower() if isinstance(value, str) else None


def nothing_to_learn(only: Any) -> str:
    """Return the sentence on labels that are all the same."""
    return f"Warning: every label is {shorten(repr(only), 40)}, so there is nothing to learn"


def _of_one(name: str, column: Values, only: Any) -> tuple[Task, str]:
    """Return a task for labels that are all the same, from which nothing can be learned."""
    warning = nothing_to_learn(only)
    if isinstance(only, bool) or only in (0, 1):
        return Binary(name, classes=pair_of_one(only)), f"{warning}; taken as binary."
    if isinstance(only, str):
        other = f"not {only}"
        return Binary(
            name, classes=pair_of_one(only)
        ), f"{warning}; treated as binary, with {other!r} for all others."
    return Regression(name), f"{warning}; taken as regression."
