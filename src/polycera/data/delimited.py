"""A delimited text file (CSV, TSV, ...) -> columns of cells -> a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data import parse_text
from polycera.data.column import Values
from polycera.data.table import Table, check_names
from polycera.errors import InputError, listing, shorten

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE, _SAMPLE_ROWS = 1_000_000, 50  # characters, rows
# rows turned into columns at once: few enough to stay in the cache, twice as fast as all at once
_BLOCK = 256


def read_text(text: str, label: str, as_text: Collection[str] = ()) -> Table:
    """The table written in a text whose first line names the columns.

    Args:
        text: the decoded file.
        label: what errors call it.
        as_text: columns to leave as they are written, even where every cell looks like a number.

    Raises:
        InputError: nothing in it, no row, a ragged row, a column twice.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise InputError(
            f"{label} is empty; a line of column names and at least one row are expected."
        )
    delimiter = sniff(text)
    columns = _columns(text, delimiter, label, frozenset(as_text))
    # where a column turned out to be none of numbers only later, its first cells are read once
    # more, as text
    if late := {column.name for column in columns if column.late}:
        columns = _columns(text, delimiter, label, frozenset(as_text) | late)
    if not columns[0].rows:
        names = listing((column.name for column in columns), 5)
        raise InputError(
            f"{label} has column names ({names}) and 0 rows; at least one row is expected."
        )
    return Table((column.name, column.values(column.name in as_text)) for column in columns)


class _Growing:
    """A column that is read block by block: as numbers for as long as it goes, then as cells."""

    def __init__(self, name: str, as_text: bool) -> None:
        self.name, self.rows, self.late = name, 0, False
        self._numbers: list[NDArray[np.float64]] | None = None if as_text else []
        self._cells: list[str] = []

    def extend(self, part: Sequence[str]) -> None:
        """Takes the cells of some more rows."""
        if self._numbers is not None:
            try:
                self._numbers.append(parse_text.all_numbers(part))
            except ValueError:
                self._numbers, self.late = None, self.rows > 0
        if self._numbers is None:
            self._cells.extend(part)
        self.rows += len(part)

    def values(self, as_text: bool) -> Values:
        """The whole column [rows]."""
        if self._numbers is not None:
            return np.concatenate(self._numbers)
        return parse_text.as_written(self._cells) if as_text else parse_text.parse(self._cells)


def sniff(text: str) -> str:
    """The delimiter: of those that split the header, the one that splits the first rows alike."""
    start = text[:_SAMPLE]
    return max(DELIMITERS, key=lambda delimiter: _score(start, delimiter))


def _score(start: str, delimiter: str) -> tuple[bool, float, int]:
    try:
        sample = list(islice(filter(None, _reader(start, delimiter)), _SAMPLE_ROWS))
    except csv.Error:
        return (False, 0.0, 0)
    width = len(sample[0]) if sample else 0
    return (width > 1, sum(len(row) == width for row in sample) / max(len(sample), 1), width)


def _columns(text: str, delimiter: str, label: str, as_text: Collection[str]) -> list[_Growing]:
    """Each column, read to the end; blank lines are no rows."""
    reader = _reader(text, delimiter)
    try:
        header = [
            name.strip() or f"column {place}"
            for place, name in enumerate(next(filter(None, reader)), 1)
        ]
        check_names(header)  # before a large file is read, not after
        columns = [_Growing(name, name in as_text) for name in header]
        while block := list(islice(reader, _BLOCK)):
            block = list(filter(None, block))
            if any(len(record) != len(columns) for record in block):
                raise _ragged(text, delimiter, len(columns), label)
            for column, part in zip(columns, zip(*block, strict=True), strict=False):
                column.extend(part)
    except csv.Error as error:
        raise InputError(
            f"{label} cannot be read beyond line {reader.line_num} ({error}); is a quotation mark left open there?"
        ) from None
    return columns


def _ragged(text: str, delimiter: str, expected: int, label: str) -> InputError:
    line, record = next(
        (line, record) for line, record in _numbered(text, delimiter) if len(record) != expected
    )
    found = f"{len(record)} field{'s' * (len(record) != 1)}"
    left_open = len(record) < expected and any("\n" in cell for cell in record)
    hint = "; is a quotation mark left open there?" if left_open else "."
    return InputError(
        f"{label}, line {line}: {found} found and {expected} expected, as in the first line, divided by "
        f"{delimiter!r}; the line begins {shorten(delimiter.join(record), 60)!r}{hint}"
    )


def _numbered(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line on which it begins, counted from 1."""
    reader, line = _reader(text, delimiter), 1
    for record in reader:
        if record:
            yield line, record
        line = reader.line_num + 1


def _reader(text: str, delimiter: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
