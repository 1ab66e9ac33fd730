"""Read targets as users pass them into NumPy arrays, with NaN or None for a missing label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.typing import Array


def read(name: str, values: Any) -> np.ndarray:
    """Return the values as a NumPy array of numbers, booleans or objects (missing: NaN or None).

    Args:
        name: the task's name, for messages.
        values: list, NumPy array (masked arrays too), data frame column, or tensor on the CPU.

    Raises:
        InputError: for values that are not an array: rows of different length, or a single value.
    """
    if isinstance(values, np.ma.MaskedArray):
        unmasked = values.data.astype("float64" if values.dtype.kind in "biuf" else object)
        unmasked[np.ma.getmaskarray(values)] = np.nan
        return unmasked
    # A torch tensor that needs a gradient, or is on another device, has no direct way to NumPy.
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if hasattr(values, "to_numpy") and not isinstance(values, np.ndarray):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(
            f"Task {shorten(name)!r}: the rows of the target differ in length, expected one label "
            "a row."
        ) from None
    if array.ndim == 0:
        raise InputError(
            f"Task {shorten(name)!r}: the target is a single {type(values).__name__}, expected one "
            "label a row."
        )
    # For a mixed list NumPy turns NaN into 'nan' and 1 into '1': read it again as objects.
    if array.dtype.kind in "US":
        return (
            array.astype(object)
            if isinstance(values, np.ndarray)
            else np.asarray(values, dtype=object)
        )
    return array


def in_order(name: str, values: Any, known: Sequence[str]) -> Any:
    """Return a data frame with its columns in the order of a task's labels or classes.

    Anything else is returned as it is.

    Args:
        name: the task's name, for messages.
        values: the target that the user passed for the task.
        known: names of the labels or classes.

    Raises:
        UnknownName: for a column that is not a known name, if other columns are, or if all column
            names are texts and the known names are not just 0, 1, 2, ...
    """
    columns = getattr(values, "columns", None)
    if columns is None or not hasattr(values, "__getitem__") or len(columns) != len(known):
        return values
    by_name = {str(column): column for column in columns}
    if set(by_name) == set(known):
        return (
            values if list(by_name) == list(known) else values[[by_name[label] for label in known]]
        )
    are_numbered = list(known) == [str(place) for place in range(len(known))]
    are_texts = all(isinstance(column, str) for column in columns)
    if set(by_name) & set(known) or (are_texts and not are_numbered):
        unknown = next(column for column in by_name if column not in known)
        raise UnknownName(f"column of the target of task {shorten(name)!r}:", unknown, known)
    return values


def missing(array: np.ndarray) -> np.ndarray:
    """Return True where a label is missing: NaN, None, NaT, pandas NA. Same shape as `array`."""
    if array.dtype.kind in "biu":
        return np.zeros(array.shape, bool)
    if array.dtype.kind in "fcmM":
        return np.isnan(array)
    return np.frompyfunc(is_missing, 1, 1)(array).astype(bool)


def is_missing(value: Any) -> bool:
    """Return whether one value is missing: None, NaN, NaT or pandas NA."""
    if value is None:
        return True
    # NaN and NaT are not equal to themselves. The truth value of pandas NA is a TypeError.
    try:
        return bool(value != value)
    except TypeError:
        return True


def column(name: str, array: np.ndarray, head: str) -> np.ndarray:
    """Return a target [n] or [n, 1] as [n].

    Raises:
        InputError: for any other shape; nothing is broadcast.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 1:
        return array
    raise InputError(
        f"Task {shorten(name)!r}: the target has shape {list(array.shape)}, "
        f"but its head ({head}) takes one label a row: pass shape [n] or [n, 1]."
    )


def numbers(name: str, array: np.ndarray) -> Array:
    """Return the values as float64 with NaN for missing ones.

    Raises:
        InputError: naming the first value that is text, infinite or beyond float32, and its row.
    """
    no_label = missing(array)
    if array.dtype.kind in "biuf":
        result = array.astype("float64")
    else:
        result = np.full(array.shape, np.nan)
        for index in zip(*np.nonzero(~no_label), strict=True):
            result[index] = number(name, array[index], int(index[0]))
    # Networks calculate in float32, where a larger number is infinite.
    infinite = np.abs(result) > np.finfo("float32").max
    if infinite.any():
        row = int(np.argwhere(infinite)[0][0])
        largest = result[tuple(np.argwhere(infinite)[0])]
        if np.isfinite(largest):
            raise InputError(
                f"Task {shorten(name)!r}: the label {largest:g} in row {row} is beyond float32, in "
                "which networks calculate (3.4e+38): divide all labels by one number."
            )
        raise InputError(
            f"Task {shorten(name)!r}: infinite label in row {row}; use NaN where a label is "
            "missing."
        )
    return result


def number(name: str, value: Any, row: int) -> float:
    """Return one object as a number.

    Raises:
        InputError: for text, also where it spells a number, and for other objects.
    """
    if isinstance(value, str):
        raise InputError(
            f"Task {shorten(name)!r}: row {row} holds the text {shorten(value)!r} where a number "
            "was expected."
        )
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise InputError(
            f"Task {shorten(name)!r}: row {row} holds a {kind} where a number was expected."
        ) from None
