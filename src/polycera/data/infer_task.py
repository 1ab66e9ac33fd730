"""The task that a column of labels asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.data.column import Values, canonical, distinct, is_missing, is_whole, kind_of
from polycera.errors import InputError, listing, shorten
from polycera.tasks import Binary, Multiclass, Regression, Task

# whole numbers of so few values, none larger, are classes unless somebody says otherwise
FEW, SMALL = (10, 20)
_YES = ("true", "yes", "y", "t", "positive", "1", "on")
_NO = ("false", "no", "n", "f", "negative", "0", "off")


def infer_task(name: str, values: Any) -> tuple[Task, str]:
    """The task that a column of labels asks for, and the sentence that says why.

    Two values are binary, text is multiclass, numbers regression; few and small whole ones are
    multiclass. Classes keep the user's type. Ordinal, count, quantile and proportion are never
    guessed.

    Args:
        name: the column.
        values: labels [n], missing ones allowed.

    Raises:
        InputError: no label at all, or labels that are dates.

    Example:
        >>> infer_task("churn", ["No", "Yes", None])
        (Binary('churn'), "two values; 'Yes' is the positive one.")
    """
    column = canonical(values, name)
    levels = levels_of(name, column)
    if len(levels) == 1:
        return _of_one(name, column, levels[0])
    if len(levels) == 2:
        negative, positive = poles(levels)
        return Binary(
            name, classes=(negative, positive)
        ), f"two values; {positive!r} is the positive one."
    if kind_of(column) == "text":
        return Multiclass(name, classes=levels), f"text of {len(levels)} classes."
    if is_whole(column) and len(levels) <= FEW and levels[0] >= 0 and levels[-1] <= SMALL:
        reason = f"{len(levels)} small whole numbers; kind 'ordinal', 'count' or 'regression' says otherwise."
        return Multiclass(name, classes=levels), reason
    reason = f"{len(levels)} different numbers from {levels[0]:.6g} to {levels[-1]:.6g}"
    if levels[0] >= 0 and levels[-1] <= 1:
        return Regression(
            name
        ), f"{reason}; kind 'proportion' keeps answers between 0 and 1, if these are shares."
    return Regression(name), f"{reason}."


def levels_of(name: str, column: Values) -> list[Any]:
    """The different labels of a column [n], sorted; InputError where there is none that can be predicted."""
    if is_missing(column).all():
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
            f"The task {shorten(name)!r} has an infinite label in row {int(np.isinf(column).argmax())}."
        )
    return distinct(column)


def two(name: str, levels: list[Any]) -> list[Any]:
    """The levels, if they are two."""
    if len(levels) != 2:
        raise InputError(
            f"The task {shorten(name)!r} is declared binary and has {len(levels)} "
            f"value{'s' * (len(levels) != 1)}: {listing(levels, 5)}; two are expected."
        )
    return levels


def pair_of_one(only: Any) -> tuple[Any, Any]:
    """Return two classes for labels that are all the same: 0 and 1, or the label and a made-up other one.

    The first is the negative one.

    Example:
        >>> pair_of_one("yes"), pair_of_one("no"), pair_of_one(0.0)
        (('not yes', 'yes'), ('no', 'not no'), (0.0, 1.0))
    """
    if isinstance(only, bool) or only in (0, 1):
        return type(only)(0), type(only)(1)
    other = f"not {only:g}" if isinstance(only, float) else f"not {only}"
    return (only, other) if _word(only) in _NO else (other, only)


def poles(levels: list[Any]) -> tuple[Any, Any]:
    """(negative, positive): by the meaning of the words if they have one, else by their order."""
    first, second = levels
    turned = _word(first) in _YES and _word(second) not in _YES
    turned = turned or (_word(second) in _NO and _word(first) not in _NO)
    return (second, first) if turned else (first, second)


def _word(value: Any) -> str | None:
    """A text in small letters; numbers have an order already and mean nothing else."""
    return value.strip().lower() if isinstance(value, str) else None


def nothing_to_learn(only: Any) -> str:
    """Return the sentence on labels that are all the same."""
    return f"Warning: every label is {shorten(repr(only), 40)}, so there is nothing to learn"


def _of_one(name: str, column: Values, only: Any) -> tuple[Task, str]:
    """A task for labels that are all the same: it can be built, and nothing can be learned from it."""
    warning = nothing_to_learn(only)
    if isinstance(only, bool) or only in (0, 1):
        return Binary(name, classes=pair_of_one(only)), f"{warning}; taken as binary."
    if isinstance(only, str):
        other = f"not {only}"
        return Binary(
            name, classes=pair_of_one(only)
        ), f"{warning}; taken as binary, with {other!r} for all others."
    return Regression(name), f"{warning}; taken as regression."
