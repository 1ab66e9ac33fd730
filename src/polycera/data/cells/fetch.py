"""Bring understood cells into memory, as the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycera.data.cells import words
from polycera.data.cells.formats import CellFormat, is_missing_sql
from polycera.data.cells.understand import EXACT, TEXT
from polycera.data.cells.words import bare, literal, literals
from polycera.data.column import Kind, Values
from polycera.data.reading import Reading
from polycera.data.sources import SourceRows
from polycera.errors import InputError, shorten

FEW = 2**12
"""Most distinct texts of a column that are brought over once each, with a number for each row."""
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_WHOLE = (*_SIGNED, *(f"U{name}" for name in _SIGNED))
_NUMBERS = (*_WHOLE, "FLOAT", "DOUBLE", "DECIMAL")
_DATES = ("DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")


def fetch(rows: SourceRows, reading: Reading, given: Iterable[str] = ()) -> dict[str, Values]:
    """Return the columns of a source as canonical arrays [rows], see `column.canonical`.

    Args:
        rows: the source.
        reading: how its cells are written.
        given: columns whose format was not found but given: each cell is checked.

    Raises:
        InputError: for a cell that does not fit a given format, naming column, row and cell, and
            for a column of lists, bytes or the like.
    """
    check_fit(rows, reading, [name for name in given if name in reading.formats])
    kinds = kinds_in(rows, reading)
    values = {
        name: expression(rows, reading, name, kind)
        for name, kind in kinds.items()
        if kind != "text"
    }
    texts = [name for name, kind in kinds.items() if kind == "text"]
    columns = _arrays(rows, values) | _texts(rows, reading, texts)
    return {name: _canonical(columns[name], kinds[name]) for name in rows.types}


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
    return f"case when {column} in ({', '.join(map(repr, numbers))}) then null else {column} end"


def stand_for_missing(rows: SourceRows, reading: Reading, name: str) -> NDArray[np.bool_]:
    """Return where a cell of a column of text stands for a missing value: bool [rows]."""
    missing = reading.formats[name].missing_words(reading.missing)
    test = f"coalesce({is_missing_sql(rows.quoted(name), missing)}, true)"
    return np.asarray(_arrays(rows, {name: test})[name], dtype=bool)


def _text(column: str, format: CellFormat, reading: Reading) -> str:
    """Return the SQL of a text; null where it is missing."""
    if reading.old:
        return (
            f"case when {bare(column)} in {literals(('', *words.OLD))} then null else {column} end"
        )
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


def _texts(rows: SourceRows, reading: Reading, names: list[str]) -> dict[str, Any]:
    """Return columns of text [rows]; of few distinct texts each is one object."""
    if not names:
        return {}
    counts = ", ".join(f"approx_count_distinct({rows.quoted(name)})" for name in names)
    row = rows.execute(f"select {counts} from {rows.relation}").fetchone()
    assert row is not None
    texts = {name: expression(rows, reading, name, "text") for name in names}
    few = [name for name, count in zip(names, row, strict=True) if count <= FEW]
    columns = _arrays(rows, {name: texts[name] for name in names if name not in few})
    levels: dict[str, list[str]] = {}
    codes: dict[str, str] = {}
    for place, name in enumerate(few):
        kept = f'"levels {place}"'
        # Materialized: else DuckDB reads the text of each row to leave out those without one.
        rows.execute(
            f"create or replace table {kept} as with different as materialized "
            f"(select distinct {rows.quoted(name)} from {rows.relation}) select cell, text, "
            "(dense_rank() over (order by text))::integer - 1 as code from (select "
            f"{rows.quoted(name)}::varchar as cell, {texts[name]} as text from different) "
            "where text is not null"
        )
        found = rows.execute(f"select distinct code, text from {kept} order by code").fetchall()
        levels[name] = [text for _, text in found]
        pairs = rows.execute(f"select cell, code from {kept} order by cell").fetchall()
        codes[name] = _code(f"{rows.quoted(name)}::varchar", pairs)
    for name, found_codes in _arrays(rows, codes).items():
        known = np.empty(len(levels[name]) + 1, dtype=object)
        known[:-1] = levels[name]
        known[-1] = None
        columns[name] = known[np.asarray(found_codes)]
    return columns


def _code(cell: str, pairs: list[tuple[str, int]]) -> str:
    """Return the SQL of the code of a cell; -1 for one that has none."""
    if not pairs:
        return "-1::integer"
    enum = ", ".join(literal(text) for text, _ in pairs)
    places = ", ".join(str(code) for _, code in pairs)
    return f"coalesce(([{places}])[enum_code(try_cast({cell} as enum({enum})))::integer + 1], -1)"


def _canonical(values: Any, kind: str) -> Values:
    """Return what DuckDB gave as a canonical column."""
    gaps = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = np.asarray(values.data if gaps is not None else values)
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
    counts = ", ".join(f"count_if({test})" for test in tests.values())
    found = rows.execute(f"select {counts} from {rows.relation}").fetchone()
    assert found is not None
    for (name, test), count in zip(tests.items(), found, strict=True):
        if count:
            raise _does_not_fit(rows, reading.formats[name], name, test, count)


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
