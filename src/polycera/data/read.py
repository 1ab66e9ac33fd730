"""Read any source of rows as a table in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from polycera.data import cells, frames, sources
from polycera.data.cells import CellFormat
from polycera.data.column import kind_of
from polycera.data.reading import Reading
from polycera.data.sources import texts_in_memory
from polycera.data.table import Table
from polycera.errors import InputError


def read(
    source: Any,
    *,
    encoding: str | None = None,
    sql: str | None = None,
    sheet: str | None = None,
    formats: Mapping[str, CellFormat] | None = None,
    as_text: Collection[str] = (),
    missing: Iterable[str] = (),
    number_format: Mapping[str, str] | None = None,
    exclude: Collection[str] = (),
    old: bool = False,
) -> Table:
    """Read a table.

    What a cell of text means is decided by all cells of its column: see `polycera.data.cells`.
    Frames keep the types that they declare; None, NaN, NaT and pandas NA are missing in them.

    Args:
        source: whatever `polycera.data.sources.open` takes; a pandas, polars or pyarrow table; a
            dict of name to values [rows]; a Table, returned as it is.
        encoding: encoding of a text file; None: what the file shows.
        sql: one SELECT statement, in which the rows of the source are the table `source`.
        sheet: name of a workbook's sheet; None: the first.
        formats: column -> how its cells are written, where that is known: each cell must fit.
        as_text: columns to leave as text: '01' stays '01' where a model learned it so.
        missing: further words for missing values.
        number_format: column -> a number as it is written there, such as "1.234,5".
        exclude: columns that are not read.
        old: read cells as runs of 0.1.0 did.

    Returns:
        the table, of at least one row; its `reading` says how its cells were read.

    Raises:
        InputError: one sentence on what is wrong with the source, and where.
        MissingExtra: for a kind of source whose reader is not installed.

    Examples:
        >>> read({"rooms": [3, 4], "price": ["1.200,50 €", "-"]})["price"]
        array([1200.5,    nan])
    """
    if isinstance(source, Table):
        return source
    known = {name: CellFormat("text") for name in as_text} | dict(formats or {})
    options: dict[str, Any] = {
        "given": known,
        "missing": tuple(missing),
        "numbers": dict(number_format or {}),
        "old": old,
    }
    if sql is not None or sources.is_source(source):
        rows = sources.open(source, encoding=encoding, sql=sql, sheet=sheet, exclude=exclude)
        reading = cells.understand(rows, **options)
        columns = cells.fetch(rows, reading, known)
        reading.said[:0] = rows.said
        reading.encoding = rows.encoding
        return Table(columns).read_as(reading)
    if isinstance(source, Mapping):
        return _with_cells(frames.read_mapping(source), options, exclude)
    if frames.is_frame(source):
        return _with_cells(frames.read_frame(source), options, exclude)
    raise InputError(
        f"A table was expected, and a {type(source).__name__} came: give the path of a .csv or "
        ".parquet file, a DuckDB relation, a pandas, polars or pyarrow table, or a dict of column name to values."
    )


def _with_cells(table: Table, options: Mapping[str, Any], exclude: Collection[str]) -> Table:
    """Return a table from memory, the cells of its columns of text understood."""
    texts = [
        name
        for name in table.names
        if name not in table.levels and name not in exclude and kind_of(table[name]) == "text"
    ]
    if not texts:
        return table.read_as(Reading(missing=options["missing"], old=options["old"]))
    rows = texts_in_memory.rows_of({name: table[name] for name in texts})
    reading = cells.understand(rows, **options)
    columns = cells.fetch(rows, reading, options["given"])
    return table.replaced(columns).read_as(reading)
