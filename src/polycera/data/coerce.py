"""Bring a column to the kind that was promised for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from polycera.data import cells
from polycera.data.cells import CellFormat
from polycera.data.column import Kind, Values, as_text, is_missing, kind_of
from polycera.data.reading import Reading
from polycera.data.sources import columns_in_memory
from polycera.errors import InputError, shorten

_BLANK: dict[str, tuple[Any, Any]] = {
    "number": (np.nan, np.float64),
    "boolean": (None, object),
    "date": (np.datetime64("NaT"), "datetime64[us]"),
}
"""Kind -> its missing value, and its type in NumPy."""


def as_kind(column: Values, kind: Kind, name: str) -> Values:
    """Return a canonical column [n] as another kind, exactly or not at all.

    Text is read as the cells of a file are; 0, 1, yes and no may be booleans.

    Args:
        column: [n].
        kind: what it must become.
        name: the column, for the error.

    Raises:
        InputError: naming the column, and the first row and value that cannot be that kind.
    """
    came = kind_of(column)
    if came == kind:
        return column
    if kind == "text":
        return as_text(column)
    if is_missing(column).all():
        return np.full(len(column), *_BLANK[kind])
    if (came, kind) == ("boolean", "number"):
        return np.where(is_missing(column), np.nan, np.equal(column, True))
    if kind == "boolean" or came == "text":
        return _read_again(as_text(column), kind, name)
    raise _cannot(name, kind, column, int(np.argmin(is_missing(column))))


def _read_again(written: Values, kind: Kind, name: str) -> Values:
    """Return texts [n] as another kind, by the format that they show."""
    rows = columns_in_memory.rows_of({name: written}, written=True)
    missing = is_missing(written)
    plain = Reading({name: CellFormat(kind)})
    values = cells.fetch(rows, plain)[name]
    strange = is_missing(values) & ~missing & ~cells.stand_for_missing(rows, plain, name)
    if strange.any() and kind != "boolean":
        found = cells.understand(rows)
        if found.formats[name].kind == kind:
            return cells.fetch(rows, found)[name]
        if name in found.remarks and found.remarks[name].ambiguous_dates:
            raise InputError(
                f"Column {shorten(name)!r} has two readings: {found.remarks[name].text}"
            )
    if strange.any():
        raise _cannot(name, kind, written, int(np.argmax(strange)))
    return np.full(len(written), *_BLANK[kind]) if is_missing(values).all() else values


def _cannot(name: str, kind: str, column: Values, row: int) -> InputError:
    return InputError(
        f"Column {shorten(name)!r} is expected to hold a {kind} in each row, and row {row} holds "
        f"{shorten(repr(column[row]), 60)}; clean the value, or declare another role for the "
        "column."
    )
