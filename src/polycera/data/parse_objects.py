"""Python objects, as a list or a data frame may hold them -> one column of one kind."""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.errors import InputError, shorten

_NESTED = (list, tuple, dict, set, np.ndarray, bytes, complex)
_NULLS = ("NoneType", "NAType", "NaTType")  # pandas' own among them, known without importing pandas


def array(values: Sequence[Any]) -> NDArray[Any]:
    """The values [n] as an object array, one cell each, even where a value is a list."""
    made = np.empty(len(values), dtype=object)
    for_one_by_one = any(issubclass(kind, _NESTED) for kind in set(map(type, values)))
    if for_one_by_one:  # NumPy would spread nested values over further axes
        for place, value in enumerate(values):
            made[place] = value
    else:
        made[:] = values
    return made


def read(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Objects [n] as one kind: all text, all boolean, all numbers or all dates; text where they are mixed.

    Raises:
        InputError: for a cell that holds several values or bytes.
    """
    types = set(map(type, values))
    if types == {str}:
        return values
    if any(issubclass(kind, _NESTED) for kind in types):
        raise _nested(values, name)
    plain = [None if _is_null(value) else value for value in values]
    present = {type(value) for value in plain if value is not None}
    return _typed(plain, present) if present else np.full(len(plain), np.nan)


def _typed(values: list[Any], types: set[type]) -> NDArray[Any]:
    """Values [n] of a few Python types, None where missing, as the one kind that holds them all."""
    if all(issubclass(kind, bool | np.bool_) for kind in types):
        return array([value if value is None else bool(value) for value in values])
    if all(
        issubclass(kind, numbers.Number | decimal.Decimal) and not issubclass(kind, bool)
        for kind in types
    ):
        return np.array([np.nan if value is None else _number(value) for value in values])
    if all(issubclass(kind, datetime.date) for kind in types):
        return np.array([_moment(value) for value in values], dtype="datetime64[us]")
    if all(issubclass(kind, datetime.timedelta) for kind in types):
        return np.array([np.nan if value is None else value.total_seconds() for value in values])
    return array([value if value is None else str(value) for value in values])


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64; whoever uses the column refuses it by name
        return np.inf if value > 0 else -np.inf


def _moment(value: Any) -> np.datetime64:
    """Times with a zone are brought to UTC; all others are taken as they are written."""
    if value is None:
        return np.datetime64("NaT")
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return np.datetime64(value.isoformat(timespec="microseconds"), "us")
    return np.datetime64(value.isoformat(), "us")


def _is_null(value: Any) -> bool:
    return type(value).__name__ in _NULLS or (
        isinstance(value, float | np.floating) and value != value
    )


def nests(values: Any) -> str | None:
    """Return what the cells [n] of a column are, where one holds several values or bytes.

    It is None for cells that a table can hold, and for what is no sequence of cells.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return "of bytes" if values.dtype.kind == "S" else None
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__len__"):
        return None
    # A one-dimensional array of a library that is not NumPy has no nested cells.
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        values = np.asarray(values)
        if values.dtype.kind != "O":
            return None
    if isinstance(values, np.ndarray) and values.ndim != 1:
        return None
    if isinstance(values, np.ma.MaskedArray):
        values = values.compressed()  # a masked cell would come as an array
    nested = [kind for kind in set(map(type, values)) if issubclass(kind, _NESTED)]
    return f"of type {min(kind.__name__ for kind in nested)}" if nested else None


def _nested(values: NDArray[Any], name: str) -> InputError:
    row, value = next(
        (row, value) for row, value in enumerate(values) if isinstance(value, _NESTED)
    )
    return InputError(
        f"Column {shorten(name)!r} holds a {type(value).__name__} in row {row}; one number, text, boolean or "
        "date is expected: spread it over several columns or leave the column out."
    )
