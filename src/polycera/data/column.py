"""Convert any column to an array of one of four kinds: number, text, boolean, date."""

from __future__ import annotations

import datetime
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polycera.data import parse_objects
from polycera.errors import InputError, shorten

Values: TypeAlias = NDArray[Any]
"""A canonical column [n], see `canonical`."""
Kind: TypeAlias = Literal["number", "text", "boolean", "date"]
"""What a column holds."""

EXACT = 2.0**53
"""Largest number up to which float64 holds every integer."""


def canonical(values: Any, name: str = "values") -> Values:
    """Return values as float64, datetime64[us], or object with str or bool, and None.

    A column without any value has no kind; it becomes float64 NaN.

    Args:
        values: a sequence or array [n].
        name: name of the column, for errors.

    Returns:
        [n].

    Raises:
        InputError: where there is not one value a row, or for values that no column can hold
            (lists, complex numbers).
    """
    array = _one_dimensional(values, name)
    match array.dtype.kind:
        case "f" | "i" | "u":
            return array.astype(np.float64, copy=False)
        case "b":
            return array.astype(object)
        case "M":
            return _dates(array.astype("datetime64[us]", copy=False))
        case "m":
            # A duration becomes its number of seconds.
            return np.asarray(array / np.timedelta64(1, "s"), dtype=np.float64)
        case "U" | "T" | "O":
            return parse_objects.read(array.astype(object, copy=False), name)
    raise InputError(
        f"Column {shorten(name)!r} holds {array.dtype} values; "
        "numbers, text, booleans or dates are expected."
    )


def kind_of(column: Values) -> Kind:
    """Return what a canonical column [n] holds."""
    if column.dtype.kind in "fM":
        return "number" if column.dtype.kind == "f" else "date"
    first = next((value for value in column if value is not None), None)
    return "boolean" if isinstance(first, bool) else "text"


def is_missing(column: Values) -> NDArray[np.bool_]:
    """Return where a canonical column [n] has no value: bool [n]."""
    if column.dtype.kind in "fM":
        return np.asarray(np.isnan(column) if column.dtype.kind == "f" else np.isnat(column))
    # Object columns mark missing values with None alone, so comparing with None is enough.
    return np.equal(column, np.array(None)).astype(bool)


def is_masked(array: Any) -> bool:
    """Return whether cells of an array may be masked.

    Most arrays are ordinary, and NumPy imports `np.ma` only when it is named.
    """
    return type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray)


def all_missing(column: Values) -> bool:
    """Return whether a canonical column [n] has no value at all."""
    if column.dtype.kind == "O":
        return all(value is None for value in column)  # ends at the first value
    return bool(is_missing(column).all())


def is_whole(numbers: NDArray[np.float64]) -> bool:
    """Return whether every present number [n] is an integer.

    A column of integers with a missing value may come as floats, for instance from pandas.
    """
    present = numbers[~np.isnan(numbers)]
    # Most columns that are not whole show it at once.
    return all(
        bool(np.isfinite(part).all() and (part == np.floor(part)).all())
        for part in (present[:1000], present[1000:])
    )


def distinct(column: Values) -> list[Any]:
    """Return the different present values of a canonical column [n], sorted, as Python objects.

    Whole floats become integers: 3.0 becomes 3.
    """
    present = column[~is_missing(column)]
    if column.dtype.kind == "O":
        return sorted(set(present))
    values = np.unique(present).tolist()
    return (
        [int(value) for value in values]
        if column.dtype.kind == "f" and is_whole(column)
        else values
    )


def as_text(column: Values) -> Values:
    """Return a canonical column [n] as str and None: 1.0 is '1', True is 'True', a date is ISO."""
    if column.dtype.kind == "O":
        return (
            column
            if kind_of(column) == "text"
            else parse_objects.array([v if v is None else str(v) for v in column])
        )
    # Each different value is converted once.
    values, indices = np.unique(column, return_inverse=True)
    texts = parse_objects.array([_written(value) for value in values.tolist()])
    texts[is_missing(values)] = None
    return texts[indices.reshape(-1)]


def _written(value: Any) -> str:
    """Return a number or a date as text."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime.datetime) else repr(value)


def _dates(dates: Values) -> Values:
    """Return dates unchanged, or NaN where all are missing."""
    return np.full(len(dates), np.nan) if np.isnat(dates).all() else dates


def _one_dimensional(values: Any, name: str) -> Values:
    """Return values as an array [n], or raise."""
    array = values if isinstance(values, np.ndarray) else _sequence(values, name)
    if array.ndim != 1:
        raise InputError(
            f"Column {shorten(name)!r} has shape {array.shape}; shape (rows,), one value a row, "
            "is expected."
        )
    if is_masked(array):
        return parse_objects.array([None if value is np.ma.masked else value for value in array])
    return array


def _sequence(values: Any, name: str) -> Values:
    """Return a sequence as an array, without NumPy's conversions.

    NumPy would turn [1, 'a'] into two texts and [True, 2] into two numbers.
    """
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        raise InputError(
            f"Column {shorten(name)!r} is a single {type(values).__name__}; one value a row is "
            "expected."
        )
    return np.asarray(values) if hasattr(values, "__array__") else parse_objects.array(list(values))
