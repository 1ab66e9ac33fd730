"""One column as an array of one of four kinds, whatever it came as."""

from __future__ import annotations

import datetime
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polycera.data import parse_objects
from polycera.errors import InputError, shorten

Values: TypeAlias = NDArray[Any]
Kind: TypeAlias = Literal["number", "text", "boolean", "date"]

EXACT = 2.0**53  # beyond it, float64 no longer holds every integer


def canonical(values: Any, name: str = "values") -> Values:
    """The values as float64, datetime64[us], or object holding str, or bool, and None.

    A column without a single value says nothing of its kind and becomes float64 NaN.

    Args:
        values: a sequence or array [n].
        name: the column, for the errors.

    Returns:
        [n].

    Raises:
        InputError: not one value a row, or values that no column can hold (lists, complex numbers).
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
            return np.asarray(array / np.timedelta64(1, "s"), dtype=np.float64)
        case "U" | "T" | "O":
            return parse_objects.read(array.astype(object, copy=False), name)
    raise InputError(
        f"Column {shorten(name)!r} holds {array.dtype} values; numbers, text, booleans or dates are expected."
    )


def kind_of(column: Values) -> Kind:
    """What a canonical column [n] holds."""
    if column.dtype.kind in "fM":
        return "number" if column.dtype.kind == "f" else "date"
    first = next((value for value in column if value is not None), None)
    return "boolean" if isinstance(first, bool) else "text"


def is_missing(column: Values) -> NDArray[np.bool_]:
    """Where a canonical column [n] has no value: bool [n]."""
    if column.dtype.kind in "fM":
        return np.asarray(np.isnan(column) if column.dtype.kind == "f" else np.isnat(column))
    return np.equal(column, np.array(None)).astype(bool)


def is_whole(numbers: NDArray[np.float64]) -> bool:
    """Whether every present number [n] is an integer (a missing integer makes pandas write floats)."""
    present = numbers[~np.isnan(numbers)]
    return bool(np.isfinite(present).all() and (present == np.floor(present)).all())


def distinct(column: Values) -> list[Any]:
    """The present values of a canonical column [n], each once, sorted, as Python's own (3.0 is 3)."""
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
    """A canonical column [n] as str and None: 1.0 is '1', True is 'True', a date is ISO."""
    if column.dtype.kind == "O":
        return (
            column
            if kind_of(column) == "text"
            else parse_objects.array([v if v is None else str(v) for v in column])
        )
    values, places = np.unique(column, return_inverse=True)
    texts = parse_objects.array([_written(value) for value in values.tolist()])
    texts[is_missing(values)] = None
    return texts[places.reshape(-1)]


def _written(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime.datetime) else repr(value)


def _dates(dates: Values) -> Values:
    return np.full(len(dates), np.nan) if np.isnat(dates).all() else dates


def _one_dimensional(values: Any, name: str) -> Values:
    array = values if isinstance(values, np.ndarray) else _sequence(values, name)
    if array.ndim != 1:
        raise InputError(
            f"Column {shorten(name)!r} came with shape {array.shape}; shape (rows,), one value a row, is expected."
        )
    if isinstance(array, np.ma.MaskedArray):
        return parse_objects.array([None if value is np.ma.masked else value for value in array])
    return array


def _sequence(values: Any, name: str) -> Values:
    """A sequence as an array without NumPy's guesses ([1, 'a'] as two texts, [True, 2] as two numbers)."""
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        raise InputError(
            f"Column {shorten(name)!r} is one {type(values).__name__}; one value a row is expected."
        )
    return np.asarray(values) if hasattr(values, "__array__") else parse_objects.array(list(values))
