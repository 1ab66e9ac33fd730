"""Decide by the position of a row, or by its group or time, to which part it belongs."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polycera.data.split import PARTS
from polycera.data.streaming.parquet_rows import PLACE, ParquetRows
from polycera.errors import InputError, UnknownName, shorten

TRAIN, VALIDATION, TEST, NONE = 0, 1, 2, 3
"""Codes of the parts; `NONE` for validation and test rows that do not fit in memory."""
HELD = 4
"""Added to the code of rows that are held in memory."""
MOST = 100_000
"""Most rows of each part that are held in memory."""
TIMES = 1_000_000
"""Most rows by whose times the parts are divided."""
PRIME = 2**31 - 1
"""Modulus of the numbers that are drawn for positions: products of two stay below 2**63."""

Ints: TypeAlias = NDArray[np.int64]
"""Whole numbers [n]."""


@dataclass(frozen=True)
class RowParts:
    """Holds how the part of each row is found.

    Attributes:
        seed: of all draws.
        sql: SQL of a whole number for each row, by its group, time or named part; None where the
            position alone decides.
        ends: numbers below which a row is a test row, and a validation row, of those that are drawn
            for its position or its group; None where `sql` gives the part.
        redrawn: number below which a training row of a named part becomes a validation row.
        limits: for each of the three parts, number up to which its rows are held in memory.
        train: SQL of whether a row is a training row.
        said: sentences on how the rows are divided.
    """

    seed: int
    sql: str | None
    ends: tuple[int, int] | None
    redrawn: int
    limits: tuple[int, int, int]
    train: str
    said: tuple[str, ...]

    @property
    def more(self) -> list[str]:
        """Return the SQL that must be read for `codes`."""
        return [] if self.sql is None else [self.sql]

    def codes(self, positions: Ints, values: Sequence[Any]) -> Ints:
        """Return the code of the part of each row, plus `HELD` for rows held in memory, [rows].

        Args:
            positions: of the rows in the whole table, [rows].
            values: what `more` gave for them.
        """
        numbers = np.asarray(values[0], "int64") if values else drawn_for(positions, self.seed, 0)
        if self.ends is not None:
            test, validation = self.ends
            numbers = np.where(numbers < test, TEST, np.where(numbers < validation, VALIDATION, 0))
        if self.redrawn:
            again = (numbers == TRAIN) & (drawn_for(positions, self.seed, 0) < self.redrawn)
            numbers = np.where(again, VALIDATION, numbers)
        held = drawn_for(positions, self.seed, 1) <= np.array(self.limits)[numbers]
        left = np.where(numbers == TRAIN, TRAIN, NONE)
        return np.where(held, numbers + HELD, left)


def drawn_for(values: Ints, seed: int, turn: int) -> Ints:
    """Return what the SQL of `drawn` gives, for whole numbers [n] in memory."""
    numbers = _modulo(values)
    for factor, offset in _keys(seed, turn):
        product = _modulo(numbers * factor + offset)
        numbers = product ^ (product >> 15)
    return numbers


def _modulo(values: Ints) -> Ints:
    """Return whole numbers from 0 to 2**62 - 1 modulo `PRIME`, without a slow division.

    `PRIME` is 2**31 - 1, so 2**31 is 1: the digits of base 2**31 are added up.
    """
    digits = (values & PRIME) + (values >> 31)
    digits = (digits & PRIME) + (digits >> 31)
    return np.where(digits >= PRIME, digits - PRIME, digits)


def _keys(seed: int, turn: int) -> list[list[int]]:
    keys = np.random.default_rng([abs(int(seed)), turn]).integers(1 << 20, PRIME, (3, 2))
    return keys.tolist()


def drawn(value: str, seed: int, turn: int) -> str:
    """Return the SQL of a number from 0 to `PRIME` drawn for a whole number of 0 or more.

    Equal values and seeds give equal numbers, in every version of DuckDB: nothing but integer
    arithmetic is used. (DuckDB's own `hash` may change from version to version.)

    Args:
        value: SQL of the whole number.
        seed: of the draw.
        turn: distinguishes several draws of one seed.
    """
    sql = f"(({value}) % {PRIME})"
    for factor, offset in _keys(seed, turn):
        product = f"(({sql} * {factor} + {offset}) % {PRIME})"
        # Mixes the high bits into the low ones; multiplication alone would leave rows that follow
        # each other at even distances.
        sql = f"xor({product}, {product} >> 15)"
    return f"({sql})"


def parts_of(
    rows: ParquetRows,
    *,
    seed: int,
    validation: float,
    test: float,
    column: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    most: int = MOST,
) -> RowParts:
    """Return how the rows of a table are divided.

    A row is drawn for a part by its position and the seed; with groups, by the text of its group.
    With a time the latest rows are the test. A column may name the part of each row.

    Args:
        rows: the table.
        seed: of the draw.
        validation, test: shares of the rows.
        column: names the part of each row.
        groups: groups that are not divided.
        time: orders the rows.
        most: most rows of each part that are held in memory.

    Raises:
        InputError: for rows without a part or time, for no row to train on, and for two of
            `column`, `groups` and `time` together.
        UnknownName: for a part or column that does not exist.
    """
    given = [
        name for name, value in (("split", column), ("groups", groups), ("time", time)) if value
    ]
    if len(given) > 1:
        raise InputError(
            f"{rows.label} does not fit in memory, and such a table is divided by one of split, "
            f"groups and time; {' and '.join(given)} are given: give one."
        )
    _check_shares(validation, test)
    total = rows.rows
    sql: str | None
    ends, redrawn = None, 0
    if column is not None:
        sql, counts, redrawn = _named(rows, column, seed, validation)
        again = f"{sql} = {TRAIN} and {drawn(PLACE, seed, 0)} < {redrawn}"
        part = f"(case when {again} then {VALIDATION} else {sql} end)"
    elif time is not None:
        part = _by_time(rows, time, seed, validation, test)
        sql = part
        counts = _shares(total, validation, test)
    else:
        # Fewer validation and test rows where more would not fit in memory: the others train.
        validation, test = (min(share, most / total) for share in (validation, test))
        sql = None if groups is None else _of_group(rows.sql(groups), seed)
        ends = round(test * PRIME), round((test + validation) * PRIME)
        number = sql or drawn(PLACE, seed, 0)
        part = (
            f"(case when {number} < {ends[0]} then {TEST} "
            f"when {number} < {ends[1]} then {VALIDATION} else {TRAIN} end)"
        )
        counts = _shares(total, validation, test)
    # Rows are drawn from those of each part that are too many for memory.
    limits = [PRIME if count <= most else round(PRIME * most / count) for count in counts]
    said = _said(total, counts, most, groups, time)
    return RowParts(
        seed, sql, ends, redrawn, (limits[0], limits[1], limits[2]), f"({part} = {TRAIN})", said
    )


def _check_shares(validation: float, test: float) -> None:
    if validation + test >= 1:
        raise InputError(
            f"Validation ({validation:g}) and test ({test:g}) together leave no row to train on."
        )


def _shares(total: int, validation: float, test: float) -> list[float]:
    """Return about how many rows each part has, [3]."""
    return [total * (1 - validation - test), total * validation, total * test]


def _of_group(group: str, seed: int) -> str:
    """Return the SQL of a number from 0 to `PRIME` for the group of a row."""
    # md5 is the same in every version; rows without a group are one group.
    text = f"coalesce({group}::varchar, chr(0))"
    return f"(md5_number_lower('{int(seed)}:' || {text}) % {PRIME})::bigint"


def _by_time(rows: ParquetRows, time: str, seed: int, validation: float, test: float) -> str:
    """Return the SQL of the code of a part by a row's time.

    Raises:
        InputError: for a row without a time.
    """
    sql = rows.sql(time)
    for (first,) in rows.fetch_by_file([f"min({PLACE})"], where=f"{sql} is null"):
        if not np.ma.getmaskarray(first).all():
            raise InputError(
                f"The time of row {int(first[0])} is missing; a split by time needs the time of "
                "every row."
            )
    limit = round(PRIME * min(1.0, TIMES / rows.rows))
    picked = f"{drawn(PLACE, seed, 2)} <= {limit}"
    found = np.concatenate(
        [np.ma.getdata(times) for (times,) in rows.fetch_by_file([sql], where=picked)]
    )
    times = np.sort(found)
    cuts = [
        times[min(int(len(times) * share), len(times) - 1)]
        for share in (1 - test, 1 - test - validation)
    ]
    late, middle = (_moment(cut) for cut in cuts)
    tested = f"when {sql} >= {late} then {TEST}" if test else ""
    validated = f"when {sql} >= {middle} then {VALIDATION}" if validation else ""
    return f"(case {tested} {validated} when true then {TRAIN} end)"


def _moment(value: Any) -> str:
    """Return a time as SQL."""
    if isinstance(value, np.datetime64):
        moment: datetime.datetime = value.astype("datetime64[us]").item()
        return f"timestamp '{moment.isoformat(sep=' ')}'"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(float(value))


def _named(
    rows: ParquetRows, column: str, seed: int, validation: float
) -> tuple[str, list[float], int]:
    """Return the SQL of the part that a column names, and the number of rows of each part.

    Where none is named validation, the third value is the number below which a training row
    becomes one, of those drawn for positions; else 0.
    """
    word = f"lower(trim({rows.sql(column)}::varchar))"
    names, numbers, firsts = [], [], []
    for name, number, first in rows.fetch_by_file(
        [word, "count(*)", f"min({PLACE})"], "group by 1"
    ):
        missing = np.ma.getmaskarray(name)
        names += [
            None if gap else str(n) for n, gap in zip(np.ma.getdata(name), missing, strict=True)
        ]
        numbers += np.asarray(number).tolist()
        firsts += np.asarray(first).tolist()
    counts = [0.0, 0.0, 0.0]
    if unknown := sorted(name for name in names if name is not None and name not in PARTS):
        raise UnknownName("part of a split", unknown[0], PARTS)
    for name, number, first in zip(names, numbers, firsts, strict=True):
        if name is None:
            raise InputError(
                f"Row {first} belongs to no part; train, validation or test is expected."
            )
        counts[PARTS[name]] += number
    if not counts[TRAIN]:
        raise InputError("The split column has no row 'train'; at least one is expected.")
    cases = " ".join(f"when '{name}' then {code}" for name, code in PARTS.items())
    part = f"(case {word} {cases} end)"
    if validation and not counts[VALIDATION]:
        counts[VALIDATION] = counts[TRAIN] * validation
        counts[TRAIN] -= counts[VALIDATION]
        return part, counts, round(validation * PRIME)
    return part, counts, 0


def _said(total: int, counts: list[float], most: int, groups: Any, time: Any) -> tuple[str, ...]:
    """Return sentences on how the rows are divided."""
    if time is not None:
        how = f"by quantiles of {shorten(repr(time))}"
    elif groups is not None:
        how = f"by a hash of {shorten(repr(groups))}"
    else:
        how = "by a hash of its position"
    sentence = f"Each of the {total:,} rows was given its part {how}."
    over = [
        f"{name} {most:,} of about {round(count):,}"
        for name, count in zip(("validation", "test"), counts[1:], strict=True)
        if count > most
    ]
    if over:
        sentence += f" Rows drawn to fit in memory: {', '.join(over)}."
    return (sentence,)
