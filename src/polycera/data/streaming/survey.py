"""Read a table once from end to end, and keep what its schema and its encoder need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from polycera.data.column import Kind, Values
from polycera.data.streaming.column_counts import ColumnCounts, as_numbers
from polycera.data.streaming.level_counts import LevelCounts
from polycera.data.streaming.moments import Moments
from polycera.data.streaming.parquet_rows import ParquetRows, Stretch
from polycera.data.streaming.row_parts import HELD, NONE, TRAIN, RowParts
from polycera.data.table import Table


@dataclass(frozen=True)
class Survey:
    """Holds what one pass over a table has counted.

    Attributes:
        rows: the table.
        parts: the part of each row.
        stretches: the table's stretches of rows.
        train_rows: [stretches], numbers of training rows.
        part_rows: rows of each part: training, validation, test, none.
        held: table of the rows that are held in memory, in order.
        positions: [held rows], their positions in the table.
        codes: [held rows], codes of their parts.
        kinds: column -> kind as which it was counted.
        of_all, of_train: column -> moments over all rows, and over training rows, of what
            `as_numbers` gives.
        levels: column of text -> its values.
        missing: column -> number of missing values in all rows, and in training rows.
        distinct: column -> estimated number of different values in all rows; only of texts,
            columns counted by level, and columns whose name speaks of identity.
    """

    rows: ParquetRows
    parts: RowParts
    stretches: list[Stretch]
    train_rows: np.ndarray
    part_rows: list[int]
    held: Table
    positions: np.ndarray
    codes: np.ndarray
    kinds: Mapping[str, Kind]
    of_all: Mapping[str, Moments]
    of_train: Mapping[str, Moments]
    levels: Mapping[str, LevelCounts]
    missing: Mapping[str, tuple[int, int]]
    distinct: Mapping[str, int]

    def digest(self, columns: Iterable[str]) -> str:
        """Return a checksum of what was counted in these columns: of equal tables, it is equal."""
        checksum = hashlib.sha256()
        for array in (self.train_rows, self.positions, self.codes):
            checksum.update(np.ascontiguousarray(array, "int64").data)
        for name in columns:
            counted: list[Any] = [name, self.missing[name]]
            if name in self.of_all:
                moments = self.of_all[name]
                counted += [moments.mean.tolist(), moments.deviation.tolist()]
            else:
                counted.append(sorted(self.levels[name].counts.items()))
            checksum.update(repr(counted).encode())
        return checksum.hexdigest()


def survey(
    rows: ParquetRows,
    parts: RowParts,
    stretches: Sequence[Stretch],
    kinds: Mapping[str, Kind],
    count_levels: Iterable[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Read all rows once and return what was counted.

    Args:
        rows: the table.
        parts: the part of each row.
        stretches: its rows; the sums depend on how they are divided, in the last bits.
        kinds: column -> kind as which to count it; columns of text are counted by level.
        count_levels: further columns to count by level.
        progress: called with the number of rows read so far.

    Raises:
        InputError: for an infinite number, with its row; for a cell that is not of its kind.
    """
    names = list(kinds)
    counted = ColumnCounts(rows, kinds, count_levels)
    train_rows, part_rows = np.zeros(len(stretches), "int64"), np.zeros(NONE + 1, "int64")
    held: list[dict[str, Values]] = []
    positions, part_codes = [], []
    for index, (columns, further) in enumerate(_read_ahead(rows, stretches, names, parts.more)):
        stretch = stretches[index]
        place = np.arange(stretch.position, stretch.position + stretch.rows)
        code = parts.codes(place, further)
        part, held_rows = code % HELD, np.flatnonzero(code >= HELD)
        train_rows[index] = (part == TRAIN).sum()
        part_rows += np.bincount(part, minlength=NONE + 1)
        counted.add(columns, part == TRAIN, stretch)
        held.append(
            {name: rows.decoded(name, values[held_rows]) for name, values in columns.items()}
        )
        positions.append(place[held_rows])
        part_codes.append(part[held_rows])
        if progress is not None:
            progress(stretch.position + stretch.rows)
    return Survey(
        rows=rows,
        parts=parts,
        stretches=list(stretches),
        train_rows=train_rows,
        part_rows=part_rows.tolist(),
        held=Table({name: np.concatenate([part[name] for part in held]) for name in names}).read_as(
            rows.reading
        ),
        positions=np.concatenate(positions),
        codes=np.concatenate(part_codes),
        kinds=dict(kinds),
        of_all=counted.of_all(),
        of_train=counted.of_train,
        levels=counted.levels(parts),
        missing=counted.missing(),
        distinct=counted.distinct,
    )


def moments_within(found: Survey, name: str, low: float, high: float) -> Moments:
    """Return the moments of a column over training rows, without values outside of a range.

    Reads the column once more: outliers are known only after the first pass.
    """
    moments = Moments(1)
    read = _read_ahead(found.rows, found.stretches, [name], found.parts.more)
    for stretch, (columns, further) in zip(found.stretches, read, strict=True):
        place = np.arange(stretch.position, stretch.position + stretch.rows)
        train = found.parts.codes(place, further) % HELD == TRAIN
        numbers = as_numbers(found.rows.decoded(name, columns[name]), "number", name)[:, train]
        moments.add(np.where((numbers < low) | (numbers > high), np.nan, numbers))
    return moments


def _read_ahead(
    rows: ParquetRows, stretches: Sequence[Stretch], names: Sequence[str], more: Sequence[str]
) -> Iterator[tuple[dict[str, Values], list[Values]]]:
    """Yield the columns of each stretch as `read_coded` gives them; a thread reads ahead."""
    with ThreadPoolExecutor(1, "polycera reader") as pool:
        read = partial(rows.read_coded, names=names, more=more)
        ahead = pool.submit(read, stretches[0])
        for stretch in [*stretches[1:], None]:
            current = ahead.result()
            if stretch is not None:
                ahead = pool.submit(read, stretch)
            yield current
