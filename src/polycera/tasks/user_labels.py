"""What users hand in as targets, read into plain NumPy arrays with one sign for a missing label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.typing import Array


def read(name: str, values: Any) -> np.ndarray:
    """The values as a NumPy array of numbers, booleans or objects (missing: NaN or None).

    Args:
        name: the task's name, for messages.
        values: list, NumPy array (masked arrays too), data frame column, or tensor on the CPU.

    Raises:
        InputError: when it is no array at all.
    """
    if isinstance(values, np.ma.MaskedArray):
        plain = values.data.astype("float64" if values.dtype.kind in "biuf" else object)
        plain[np.ma.getmaskarray(values)] = np.nan
        return plain
    if hasattr(values, "detach"):  # a torch tensor that may need a gradient
        values = values.detach().cpu()
    if hasattr(values, "to_numpy") and not isinstance(values, np.ndarray):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(
            f"Task {shorten(name)!r}: the rows of the target differ in length, expected one label a row."
        ) from None
    if array.ndim == 0:
        raise InputError(
            f"Task {shorten(name)!r}: the target is a single {type(values).__name__}, expected one label a row."
        )
    if array.dtype.kind in "US":  # of a list anew, where NumPy has made 'nan' of NaN and '1' of 1
        return (
            array.astype(object)
            if isinstance(values, np.ndarray)
            else np.asarray(values, dtype=object)
        )
    return array


def in_order(name: str, values: Any, known: Sequence[str]) -> Any:
    """Return a data frame's columns in the order of a task's labels or classes; anything else as it is.

    Args:
        name: the task's name, for messages.
        values: what came for the task.
        known: names of the labels or classes.

    Raises:
        UnknownName: for a column that is none of them, where the others are, or where all have
            names.
    """
    columns = getattr(values, "columns", None)
    if columns is None or not hasattr(values, "__getitem__") or len(columns) != len(known):
        return values
    by_name = {str(column): column for column in columns}
    if set(by_name) == set(known):
        return (
            values if list(by_name) == list(known) else values[[by_name[label] for label in known]]
        )
    numbered = list(known) == [str(place) for place in range(len(known))]
    texts = all(isinstance(column, str) for column in columns)
    if set(by_name) & set(known) or (texts and not numbered):
        strange = next(column for column in by_name if column not in known)
        raise UnknownName(f"column of the target of task {shorten(name)!r}:", strange, known)
    return values


def missing(array: np.ndarray) -> np.ndarray:
    """True where there is no label: NaN, None, NaT, pandas NA. Same shape as `array`."""
    if array.dtype.kind in "biu":
        return np.zeros(array.shape, bool)
    if array.dtype.kind in "fcmM":
        return np.isnan(array)
    return np.frompyfunc(is_missing, 1, 1)(array).astype(bool)


def is_missing(value: Any) -> bool:
    """One value: None, or not equal to itself (NaN, NaT), or pandas NA, which refuses to say."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:
        return True


def column(name: str, array: np.ndarray, head: str) -> np.ndarray:
    """[n] or [n, 1] -> [n]; anything else is refused, nothing is broadcast."""
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 1:
        return array
    raise InputError(
        f"Task {shorten(name)!r}: the target has shape {list(array.shape)}, "
        f"but its head ({head}) takes one label a row: pass shape [n] or [n, 1]."
    )


def numbers(name: str, array: np.ndarray) -> Array:
    """The values as float64 with NaN for missing ones; text and infinities are refused.

    Raises:
        InputError: naming the first value that is no finite number, and its row.
    """
    gone = missing(array)
    if array.dtype.kind in "biuf":
        result = array.astype("float64")
    else:
        result = np.full(array.shape, np.nan)
        for index in zip(*np.nonzero(~gone), strict=True):
            result[index] = number(name, array[index], int(index[0]))
    infinite = np.abs(result) > np.finfo("float32").max  # which is infinite to a network
    if infinite.any():
        row = int(np.argwhere(infinite)[0][0])
        largest = result[tuple(np.argwhere(infinite)[0])]
        if np.isfinite(largest):
            raise InputError(
                f"Task {shorten(name)!r}: the label {largest:g} in row {row} is beyond float32, in which networks "
                "calculate (3.4e+38): divide all labels by one number."
            )
        raise InputError(
            f"Task {shorten(name)!r}: infinite label in row {row}; use NaN where a label is missing."
        )
    return result


def number(name: str, value: Any, row: int) -> float:
    """One object as a number; text is refused even where it spells one."""
    if isinstance(value, str):
        raise InputError(
            f"Task {shorten(name)!r}: row {row} holds the text {shorten(value)!r} where a number was expected."
        )
    try:
        return float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise InputError(
            f"Task {shorten(name)!r}: row {row} holds a {kind} where a number was expected."
        ) from None
