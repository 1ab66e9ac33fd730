"""A column brought to the kind that was promised for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from polycera.data import parse_text
from polycera.data.column import Kind, Values, as_text, is_missing, kind_of
from polycera.errors import InputError, shorten

_TRUTH = {"true": True, "yes": True, "y": True, "t": True, "1": True}
_TRUTH |= {"false": False, "no": False, "n": False, "f": False, "0": False}
_BLANK: dict[str, tuple[Any, Any]] = {
    "number": (np.nan, np.float64),
    "boolean": (None, object),
    "date": (np.datetime64("NaT"), "datetime64[us]"),
}


def as_kind(column: Values, kind: Kind, name: str) -> Values:
    """A canonical column [n] as another kind, exactly or not at all.

    Text is read as a CSV cell would be (whitespace and NA are missing); 0, 1, yes and no may be booleans.

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
        return parse_text.spread(column, {True: 1.0, False: 0.0}, *_BLANK[kind])
    if kind == "boolean" or came == "text":
        return _read_again(column, kind, name)
    raise _cannot(name, kind, column, int(np.argmin(is_missing(column))))


def stray(column: Values) -> tuple[list[str], int]:
    """The different cells of a text column [n] that are no number, and the row of the first (-1 for none)."""
    bad = {
        cell for cell in set(column) if not _is_blank(cell) and not _reads(parse_text.numbers, cell)
    }
    return list(bad), next((row for row, cell in enumerate(column) if cell in bad), -1)


def truths(written: Iterable[str]) -> list[bool]:
    """yes, true, 1 and their opposites as booleans; KeyError for any other text."""
    return [_TRUTH[cell.strip().lower()] for cell in written]


def _read_again(column: Values, kind: Kind, name: str) -> Values:
    read: Callable[[Iterable[str]], Any] = {
        "number": parse_text.numbers,
        "boolean": truths,
        "date": parse_text.dates,
    }[kind]
    written = as_text(column)
    present = [cell for cell in set(written) if not _is_blank(cell)]
    try:
        known = dict(zip(present, read(present), strict=True))
    except (ValueError, KeyError):
        bad = {cell for cell in present if not _reads(read, cell)}
        raise _cannot(
            name, kind, column, next(row for row, cell in enumerate(written) if cell in bad)
        ) from None
    return parse_text.spread(written, known, *_BLANK[kind])


def _reads(read: Callable[[Iterable[str]], Any], cell: str) -> bool:
    try:
        return len(read([cell])) == 1
    except (ValueError, KeyError):
        return False


def _is_blank(cell: str | None) -> bool:
    return cell is None or parse_text.is_blank(cell)


def _cannot(name: str, kind: str, column: Values, row: int) -> InputError:
    return InputError(
        f"Column {shorten(name)!r} is expected to hold a {kind} in each row, and row {row} holds "
        f"{shorten(repr(column[row]), 60)}; clean the value, or declare another role for the column."
    )
