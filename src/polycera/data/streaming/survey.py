"""Read a table once from end to end, and keep what its schema and its encoder need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from polycera.data.coerce import as_kind
from polycera.data.column import Kind, Values, is_missing
from polycera.data.dates import elapsed
from polycera.data.standardise import Floats
from polycera.data.streaming.moments import Moments
from polycera.data.streaming.parquet_rows import ParquetRows, Stretch
from polycera.data.streaming.row_parts import HELD, NONE, TRAIN, RowParts
from polycera.data.table import Table
from polycera.errors import InputError, shorten

LEVELS = 100_000
"""Most different texts of a column that are kept, the most frequent ones."""


@dataclass(frozen=True)
class LevelCounts:
    """Holds the different values of a column, the most frequent first.

    Attributes:
        counts: value -> number of rows.
        trained: value -> number of training rows, where there are any.
        distinct: number of different values; an estimate above `LEVELS`.
        whole: whether `counts` has all of them.
    """

    counts: dict[Any, int]
    trained: dict[Any, int]
    distinct: int
    whole: bool


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
        distinct: column -> estimated number of different values in all rows.
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
    of_all = {name: Moments(_width(kind)) for name, kind in kinds.items() if kind != "text"}
    of_train = {name: Moments(_width(kind)) for name, kind in kinds.items() if kind != "text"}
    missing = {name: np.zeros(2, "int64") for name in names}
    train_rows, part_rows = np.zeros(len(stretches), "int64"), np.zeros(NONE + 1, "int64")
    held: list[dict[str, Values]] = []
    positions, codes = [], []
    for index, (columns, (code,)) in enumerate(_read_ahead(rows, stretches, names, [parts.code])):
        stretch, part = stretches[index], code % HELD
        train = part == TRAIN
        train_rows[index] = train.sum()
        part_rows += np.bincount(part, minlength=NONE + 1)
        for name, values in columns.items():
            if kinds[name] == "text":
                gaps = is_missing(values)
                missing[name] += (int(gaps.sum()), int(gaps[train].sum()))
                continue
            numbers = as_numbers(values, kinds[name], name)
            _check_finite(numbers, name, stretch)
            of_all[name].add(numbers)
            of_train[name].add(numbers[:, train])
            missing[name] = np.array([of_all[name].missing[0], of_train[name].missing[0]])
        in_memory = code >= HELD
        held.append({name: values[in_memory] for name, values in columns.items()})
        positions.append(stretch.position + np.flatnonzero(in_memory))
        codes.append(part[in_memory])
        if progress is not None:
            progress(stretch.position + stretch.rows)
    distinct = _distinct(rows, names)
    by_level = dict.fromkeys([*(n for n in names if kinds[n] == "text"), *count_levels])
    levels = {name: _levels(rows, name, parts, distinct[name]) for name in by_level}
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
        codes=np.concatenate(codes),
        kinds=dict(kinds),
        of_all=of_all,
        of_train=of_train,
        levels=levels,
        missing={name: (int(counts[0]), int(counts[1])) for name, counts in missing.items()},
        distinct=distinct,
    )


def moments_within(found: Survey, name: str, low: float, high: float) -> Moments:
    """Return the moments of a column over training rows, without values outside of a range.

    Reads the column once more: outliers are known only after the first pass.
    """
    moments = Moments(1)
    read = _read_ahead(found.rows, found.stretches, [name], [found.parts.code])
    for columns, (code,) in read:
        numbers = as_numbers(columns[name], "number", name)[:, code % HELD == TRAIN]
        moments.add(np.where((numbers < low) | (numbers > high), np.nan, numbers))
    return moments


def as_numbers(values: Values, kind: Kind, name: str) -> Floats:
    """Return a column [n] as rows of numbers [k, n]: of a date, its year and its elapsed days."""
    if kind == "date":
        return elapsed(as_kind(values, "date", name))
    if kind == "boolean":
        return as_kind(as_kind(values, "boolean", name), "number", name)[None]
    return as_kind(values, "number", name)[None]


def _width(kind: Kind) -> int:
    return 2 if kind == "date" else 1


def _check_finite(numbers: Floats, name: str, stretch: Stretch) -> None:
    if np.isinf(numbers).any():
        row = stretch.position + int(np.isinf(numbers).any(axis=0).argmax())
        raise InputError(
            f"Column {shorten(name)!r} holds an infinite number in row {row}; leave the cell "
            "empty if the value is not known, or write a large number."
        )


def _read_ahead(
    rows: ParquetRows, stretches: Sequence[Stretch], names: Sequence[str], more: Sequence[str]
) -> Iterator[tuple[dict[str, Values], list[Values]]]:
    """Yield the columns of each stretch; a thread reads the next one meanwhile."""
    with ThreadPoolExecutor(1, "polycera reader") as pool:
        read = partial(rows.read, names=names, more=more)
        ahead = pool.submit(read, stretches[0])
        for stretch in [*stretches[1:], None]:
            current = ahead.result()
            if stretch is not None:
                ahead = pool.submit(read, stretch)
            yield current


def _distinct(rows: ParquetRows, names: Sequence[str]) -> dict[str, int]:
    """Return the estimated number of different values of each column (HyperLogLog)."""
    counts = rows.fetch_all([f"approx_count_distinct({rows.sql(name)})" for name in names])
    return {name: int(count[0]) for name, count in zip(names, counts, strict=True)}


def _levels(rows: ParquetRows, name: str, parts: RowParts, estimate: int) -> LevelCounts:
    """Return the values of a column by frequency; those that are equally frequent by value."""
    counts: dict[Any, int] = {}
    trained: dict[Any, int] = {}
    sql = rows.sql(name)
    most = f"order by 2 desc, 1 limit {LEVELS + 1}"
    for values, total, train in rows.fetch_by_file(
        [sql, "count(*)", f"count(*) filter ({parts.train})"],
        f"group by 1 {most}",
        where=f"{sql} is not null",
    ):
        for value, number, training in zip(
            np.ma.getdata(values).tolist(), total.tolist(), train.tolist(), strict=True
        ):
            counts[value] = counts.get(value, 0) + number
            if training:
                trained[value] = trained.get(value, 0) + training
    whole = len(counts) <= LEVELS
    ranked = sorted(counts, key=lambda value: (-counts[value], value))[:LEVELS]
    return LevelCounts(
        {value: counts[value] for value in ranked},
        {value: trained[value] for value in ranked if value in trained},
        len(counts) if whole else max(estimate, LEVELS + 1),
        whole,
    )
