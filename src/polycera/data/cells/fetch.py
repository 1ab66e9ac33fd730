"""Bring understood cells into memory, as the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.cells import words
from polycera.data.cells.distinct_cells import codes_sql, count_cells, has_few
from polycera.data.cells.formats import CellFormat, is_missing_sql
from polycera.data.cells.understand import EXACT, TEXT
from polycera.data.column import Kind, Values, is_masked, is_missing
from polycera.data.level_codes import LevelCodes
from polycera.data.reading import Reading
from polycera.data.sources import SourceRows
from polycera.errors import InputError, shorten

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WHOLE = (*_SIGNED, *(f"U{name}" for name in _SIGNED))
_NUMBERS = (*_WHOLE, "FLOAT", "DOUBLE", "DECIMAL")
_DATES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")


def fetch(
    rows: SourceRows,
    reading: Reading,
    given: Iterable[str] = (),
    coded: dict[str, LevelCodes] | None = None,
) -> dict[str, Values]:
    """Return the columns of a source as canonical arrays [rows], see `column.canonical`.

    Args:
        rows: the source.
        reading: how its cells are written.
        given: columns whose format was not found but given: each cell is checked.
        coded: filled with the codes of those columns of text that were read as codes.

    Raises:
        InputError: for a cell that does not fit a given format, naming column, row and cell, and
            for a column of lists, bytes or the like.
    """
    check_fit(rows, reading, [name for name in given if name in reading.formats])
    kinds = kinds_in(rows, reading)
    # What a cell of text means is worked out once for each different one, where these are few.
    looked_up = [name for name, kind in kinds.items() if kind == "text" or rows.types[name] == TEXT]
    levels = _levels(rows, reading, looked_up, kinds)
    values = {
        name: codes_sql(rows.quoted(name), levels[name].cells)
        if name in levels
        else _without_mask(expression(rows, reading, name, kind), kind)
        for name, kind in kinds.items()
    }
    arrays = _arrays(rows, values)
    columns: dict[str, Values] = {}
    for name in rows.types:
        array = arrays.pop(name)  # as they are made, so that a table is not there twice
        if name not in levels:
            columns[name] = _canonical(array, kinds[name])
            continue
        codes = levels[name].places[np.asarray(array)]
        columns[name] = values_of = levels[name].values[codes]
        if coded is not None and values_of.dtype.kind == "O":
            coded[name] = LevelCodes(values_of, levels[name].values[:-1].tolist(), codes)
    return columns


def _without_mask(value: str, kind: Kind) -> str:
    """Return the SQL of a value that is NaN, not null, where a number is missing."""
    return f"coalesce({value}, 'nan'::double)" if kind == "number" else value


@dataclass(frozen=True)
class _Levels:
    """Holds what the different cells of a column mean.

    Attributes:
        cells: the different cells.
        values: their different values, canonical, and then the missing one.
        places: for each cell, and for none, the place of its value in `values`.
    """

    cells: list[str]
    values: Values
    places: NDArray[np.uint16]


def _levels(
    rows: SourceRows, reading: Reading, names: list[str], kinds: Mapping[str, Kind]
) -> dict[str, _Levels]:
    """Return what the cells of those columns mean that have few different ones."""
    found = {}
    for name, table in count_cells(rows, names).items():
        if not has_few(rows, table):
            continue
        # The expressions of the whole column, with the column's name for one of its cells.
        column = rows.quoted(name)
        part = replace(rows, relation=f"(select cell as {column} from {table} order by cell)")
        value = expression(part, reading, name, kinds[name])
        arrays = _arrays(part, {"cell": f"{column}::varchar", "value": value})
        cells = np.asarray(arrays["cell"]).tolist()
        values = _canonical(arrays["value"], kinds[name])
        if is_missing(values).all():
            values = np.full(len(values), np.nan)
        found[name] = _Levels(cells, *_different(values))
    return found


def _different(values: Values) -> tuple[Values, NDArray[np.uint16]]:
    """Return the different values, the missing one last, and the place of each and of a missing."""
    if values.dtype.kind != "O":
        missing = np.full(1, np.nan if values.dtype.kind == "f" else np.datetime64("NaT"))
        every = np.concatenate([values, missing.astype(values.dtype)])
        return every, np.arange(len(every), dtype=np.uint16)
    listed = [*values.tolist(), None]
    levels = sorted({value for value in listed if value is not None})
    place = {value: code for code, value in enumerate(levels)} | {None: len(levels)}
    every = np.empty(len(levels) + 1, dtype=object)
    every[:-1] = levels
    return every, np.array([place[value] for value in listed], dtype=np.uint16)


def expression(rows: SourceRows, reading: Reading, name: str, kind: Kind) -> str:
    """Return the SQL of a column's values: double, timestamp, boolean or text; null if missing."""
    column = rows.quoted(name)
    if rows.types[name] == TEXT:
        format = reading.formats[name]
        if format.kind == "text":
            return _text(column, format, reading)
        typed = format.typed(column)
        if reading.old or format.missing or reading.missing:
            # A word such as -999, which is a number as well.
            missing = format.missing_words(reading.missing)
            typed = f"case when {is_missing_sql(column, missing)} then null else {typed} end"
        return typed
    match kind:
        case "number":
            if rows.types[name] == "INTERVAL":
                return f"epoch({column})"
            return _without_numbers(f"{column}::double", reading.missing)
        case "date":
            if rows.types[name] == "TIMESTAMP WITH TIME ZONE":
                column = f"({column} at time zone 'UTC')"
            return f"{column}::timestamp"
        case "boolean":
            return column
    return f"{column}::varchar"


def _without_numbers(column: str, missing: Iterable[str]) -> str:
    """Return the SQL of a number; null where it stands for a missing value, such as -999."""
    numbers = [float(word) for word in missing if re.fullmatch(r"[+-]?\d+(\.\d+)?", word)]
    if not numbers:
        return column
    # No `in (...)`, see `is_one_of_sql`.
    test = " or ".join(f"{column} = {number!r}::double" for number in numbers)
    return f"case when {test} then null else {column} end"


def stand_for_missing(rows: SourceRows, reading: Reading, name: str) -> NDArray[np.bool_]:
    """Return where a cell of a column of text stands for a missing value: bool [rows]."""
    missing = reading.formats[name].missing_words(reading.missing)
    test = f"coalesce({is_missing_sql(rows.quoted(name), missing)}, true)"
    return np.asarray(_arrays(rows, {name: test})[name], dtype=bool)


def _text(column: str, format: CellFormat, reading: Reading) -> str:
    """Return the SQL of a text; null where it is missing."""
    if reading.old:
        return f"case when {is_missing_sql(column, words.OLD)} then null else {column} end"
    missing = format.missing_words(reading.missing)
    return f"case when {is_missing_sql(column, missing)} then null else {format.typed(column)} end"


def kinds_in(rows: SourceRows, reading: Reading) -> dict[str, Kind]:
    """Return what each column holds: number, date, boolean or text.

    Whole numbers that float64 cannot tell apart are text.
    """
    large = _large(rows)
    return {name: "text" if name in large else _kind_in(rows, reading, name) for name in rows.types}


def _kind_in(rows: SourceRows, reading: Reading, name: str) -> Kind:
    """Return what a column holds by its type."""
    kind = rows.types[name]
    if kind == TEXT:
        return reading.formats[name].kind
    base = kind.partition("(")[0]
    if base in _NUMBERS or base == "INTERVAL":
        return "number"
    if base in _DATES or base == "TIMESTAMP WITH TIME ZONE":
        return "date"
    if base == "BOOLEAN":
        return "boolean"
    if base in ("ENUM", "UUID", "TIME", "JSON", '"NULL"', "NULL"):
        return "text"
    raise InputError(
        f"Column {shorten(name)!r} holds {shorten(kind, 40)} cells; one number, text, boolean or "
        "date is expected: spread it over several columns or leave the column out."
    )


def _large(rows: SourceRows) -> set[str]:
    """Return the columns of whole numbers that float64 cannot tell apart."""
    wide = ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT")
    names = [name for name, kind in rows.types.items() if kind in wide]
    if not names:
        return set()
    columns = [rows.quoted(name) for name in names]
    tests = ", ".join(
        f"coalesce(max({column}) > {EXACT} or min({column}) < -{EXACT}, false)"
        for column in columns
    )
    row = rows.execute(f"select {tests} from {rows.relation}").fetchone()
    assert row is not None
    return {name for name, is_large in zip(names, row, strict=True) if is_large}


def _arrays(rows: SourceRows, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of SQL expressions [rows] by name."""
    if not values:
        return {}
    # Names of our own: SQL does not tell 'a' from 'A'.
    chosen = ", ".join(f"{value} as c{place}" for place, value in enumerate(values.values()))
    found = rows.execute(f"select {chosen} from {rows.relation}").fetchnumpy()
    return {name: found[f"c{place}"] for place, name in enumerate(values)}


def _canonical(values: Any, kind: str) -> Values:
    """Return what DuckDB gave as a canonical column."""
    masked = is_masked(values)
    gaps = np.ma.getmaskarray(values) if masked else None
    array = np.asarray(values.data if masked else values)
    match kind:
        case "number":
            array = array.astype(np.float64, copy=False)
            return array if gaps is None else np.where(gaps, np.nan, array)
        case "date":
            array = array.astype("datetime64[us]", copy=False)
            array = array if gaps is None else np.where(gaps, np.datetime64("NaT"), array)
            return np.full(len(array), np.nan) if np.isnat(array).all() else array
    array = array.astype(object)
    if gaps is not None:
        array[gaps] = None
    if not np.not_equal(array, np.array(None)).any():
        return np.full(len(array), np.nan)  # a column without any value has no kind
    return array


def check_fit(rows: SourceRows, reading: Reading, given: list[str]) -> None:
    """Raise for the first cell that does not fit its column's given format."""
    checked = [
        name
        for name in given
        if rows.types.get(name) == TEXT and reading.formats[name].kind != "text"
    ]
    if not checked:
        return
    tests = {name: _misfit(rows, reading, name) for name in checked}
    for name, count in _counts(rows, tests).items():
        if count:
            raise _does_not_fit(rows, reading.formats[name], name, tests[name], count)


def _counts(rows: SourceRows, tests: Mapping[str, str]) -> dict[str, int]:
    """Return in how many rows a test of each column's cells is true."""
    counts = dict.fromkeys(tests, 0)
    tables = count_cells(rows, tests)
    for name, table in tables.items():
        column = f"(select cell as {rows.quoted(name)}, n from {table})"
        count = rows.execute(f"select sum(n) filter ({tests[name]}) from {column}").fetchone()
        counts[name] = int(count[0] or 0) if count is not None else 0
    others = [name for name in tests if name not in tables]
    if others:
        sums = ", ".join(f"count_if({tests[name]})" for name in others)
        found = rows.execute(f"select {sums} from {rows.relation}").fetchone()
        assert found is not None
        counts |= dict(zip(others, found, strict=True))
    return counts


def _misfit(rows: SourceRows, reading: Reading, name: str) -> str:
    """Return the SQL of whether a cell is neither missing nor fits its format."""
    cell, format = rows.quoted(name), reading.formats[name]
    missing = (*format.missing_words(reading.missing), *words.MISSING)
    return (
        f"{cell} is not null and {format.typed(cell)} is null and not "
        f"{is_missing_sql(cell, missing)}"
    )


def _does_not_fit(
    rows: SourceRows, format: CellFormat, name: str, test: str, count: int
) -> InputError:
    row = rows.execute(
        f"select row, cell from (select row_number() over () - 1 as row, {rows.quoted(name)} as "
        f"cell, {test} as misfit from {rows.relation}) where misfit order by row limit 1"
    ).fetchone()
    assert row is not None
    expected = {
        "date": f"a date written as {format.date or '%Y-%m-%d'}",
        "boolean": "true or false",
    }.get(format.kind, f"a number {_as_number(format)}")
    others = f", and {count - 1} more do not either" if count > 1 else ""
    return InputError(
        f"Column {shorten(name)!r} is read as {expected}, and row {row[0]} holds "
        f"{shorten(repr(row[1]), 60)}{others}; clean the cell, or give the column's format "
        "(--date-format, --number-format, --missing)."
    )


def _as_number(format: CellFormat) -> str:
    example = f"1{format.thousands}234{format.decimal}5"
    return f"written as {example}{' ' + format.unit if format.unit else ''}"


def as_written(rows: SourceRows, name: str) -> Values:
    """Return a column as text [rows], its cells as they are; None where there is nothing."""
    cells = _arrays(rows, {name: f"{rows.quoted(name)}::varchar"})[name]
    texts = np.array(np.ma.getdata(cells), dtype=object)
    texts[np.ma.getmaskarray(cells)] = None
    return texts


def what_nests(kind: str) -> str | None:
    """Return what the cells of a DuckDB type are, where a column of a table cannot hold them."""
    is_nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION", "BLOB", "BIT"))
    return f"of type {shorten(kind, 40)}" if is_nested else None
