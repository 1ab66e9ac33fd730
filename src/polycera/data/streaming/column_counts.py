"""Count what the columns of a table hold, a stretch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from polycera.data.coerce import as_kind
from polycera.data.column import Kind, Values, is_missing
from polycera.data.dates import elapsed
from polycera.data.roles import is_key
from polycera.data.standardise import Floats
from polycera.data.streaming import level_counts
from polycera.data.streaming.level_counts import LevelCounter, LevelCounts
from polycera.data.streaming.moments import Moments
from polycera.data.streaming.parquet_rows import ParquetRows, Stretch
from polycera.data.streaming.row_parts import RowParts
from polycera.errors import InputError, shorten

FEW = 4_096
"""Most different numbers, booleans or dates of a column that are counted in the one pass."""


class ColumnCounts:
    """Adds up moments, missing values and levels of columns over stretches of rows.

    Args:
        rows: the table; its columns of few texts are read as codes from now on.
        kinds: column -> kind as which to count it.
        count_levels: columns to count by level, beside those of text.

    Attributes:
        distinct: column -> estimated number of different values; of texts, of columns counted by
            level, and of columns whose name speaks of identity.
        of_train: column of numbers, booleans or dates -> moments over training rows.
    """

    def __init__(
        self, rows: ParquetRows, kinds: Mapping[str, Kind], count_levels: Iterable[str]
    ) -> None:
        texts = [name for name in kinds if rows.kinds[name] == "text"]
        by_level = dict.fromkeys([*(n for n in kinds if kinds[n] == "text"), *count_levels])
        keys = [name for name in kinds if is_key(name)]
        self.distinct = rows.distinct([*texts, *by_level, *keys])
        rows.encode_texts(texts)
        numeric = {name: kind for name, kind in kinds.items() if kind != "text"}
        self.of_train = {name: Moments(width_of(kind)) for name, kind in numeric.items()}
        self._of_rest = {name: Moments(width_of(kind)) for name, kind in numeric.items()}
        self._rows, self._kinds, self._by_level = rows, kinds, list(by_level)
        self._missing = {name: np.zeros(2, "int64") for name in kinds}
        self._coded = {name: np.zeros(len(rows.codes[name].texts), "int64") for name in rows.codes}
        self._counters = {
            name: LevelCounter()
            for name in by_level
            if name not in self._coded and self.distinct[name] <= FEW
        }

    def add(
        self, columns: Mapping[str, Values], train: NDArray[np.bool_], stretch: Stretch
    ) -> None:
        """Add a stretch of rows.

        Args:
            columns: as `ParquetRows.read_coded` gives them.
            train: which are training rows, [rows].
            stretch: what errors name the rows by.

        Raises:
            InputError: for an infinite number, with its row; for a cell that is not of its kind.
        """
        # Taking rows by their places is faster than by a mask.
        trained, rest = np.flatnonzero(train), np.flatnonzero(~train)
        for name, values in columns.items():
            if name in self._coded:
                self._coded[name] += np.bincount(values[trained], minlength=len(self._coded[name]))
            elif name in self._counters:
                self._counters[name].add(values, train)
            if name in self.of_train:
                numbers = as_numbers(self._rows.decoded(name, values), self._kinds[name], name)
                self.of_train[name].add(numbers.take(trained, axis=1))
                self._of_rest[name].add(numbers.take(rest, axis=1))
                if not (self.of_train[name].finite and self._of_rest[name].finite):
                    raise _infinite(numbers, name, stretch)
            elif name not in self._coded:
                gaps = is_missing(values)
                self._missing[name] += (int(gaps.sum()), int(gaps[trained].sum()))

    def of_all(self) -> dict[str, Moments]:
        """Return the moments over all rows, of the columns of `of_train`."""
        return {
            name: moments.merged(self._of_rest[name]) for name, moments in self.of_train.items()
        }

    def missing(self) -> dict[str, tuple[int, int]]:
        """Return column -> number of missing values in all rows, and in training rows."""
        counts = {name: (int(both[0]), int(both[1])) for name, both in self._missing.items()}
        for name, trained in self._coded.items():
            codes = self._rows.codes[name]
            gaps = codes.without_text
            counts[name] = int(codes.counts[gaps].sum()), int(trained[gaps].sum())
        for name, moments in self.of_train.items():
            of_train = int(moments.missing[0])
            counts[name] = of_train + int(self._of_rest[name].missing[0]), of_train
        return counts

    def levels(self, parts: RowParts) -> dict[str, LevelCounts]:
        """Return column -> its levels, of columns of text and those to be counted by level."""
        levels: dict[str, LevelCounts] = {}
        for name in self._by_level:
            if name in self._coded:
                codes = self._rows.codes[name]
                levels[name] = LevelCounts.of(
                    codes.totals(codes.counts), codes.totals(self._coded[name])
                )
            elif name in self._counters:
                levels[name] = self._counters[name].counts()
            else:
                levels[name] = level_counts.of_query(
                    self._rows, name, parts.train, self.distinct[name]
                )
        return levels


def as_numbers(values: Values, kind: Kind, name: str) -> Floats:
    """Return a column [n] as rows of numbers [k, n]: of a date, its year and its elapsed days."""
    if kind == "date":
        return elapsed(as_kind(values, "date", name))
    if kind == "boolean":
        return as_kind(as_kind(values, "boolean", name), "number", name)[None]
    return as_kind(values, "number", name)[None]


def width_of(kind: Kind) -> int:
    """Return the number of rows that `as_numbers` gives for a kind."""
    return 2 if kind == "date" else 1


def _infinite(numbers: Floats, name: str, stretch: Stretch) -> InputError:
    """Return the error for an infinite number of a stretch [k, n]."""
    row = stretch.position + int(np.isinf(numbers).any(axis=0).argmax())
    return InputError(
        f"Column {shorten(name)!r} holds an infinite number in row {row}; leave the cell "
        "empty if the value is not known, or write a large number."
    )
