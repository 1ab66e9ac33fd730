"""Read any source of rows as a table in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from polycera.data import cells, frames, sources
from polycera.data.cells import CellFormat
from polycera.data.column import kind_of
from polycera.data.reading import CellWishes, Reading
from polycera.data.sources import SourceRows, columns_in_memory, queries
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
    wishes: CellWishes | None = None,
    exclude: Collection[str] = (),
    old: bool = False,
) -> Table:
    """Read a table.

    What a cell of text means is decided by all cells of its column: see `polycera.data.cells`.
    Frames keep the types that they declare; None, NaN, NaT and pandas NA are missing in them.

    Args:
        source: whatever `polycera.data.sources.open` takes, None with `sql` alone; a pandas,
            polars or pyarrow table; a dict of name to values [rows]; a Table, returned as it is.
        encoding: encoding of a text file; None: what the file shows.
        sql: one SELECT statement over the source, which it calls `source`; without a source it
            names files itself.
        sheet: name of a workbook's sheet; None: the first.
        formats: column -> how its cells are written, where that is known: each cell must fit.
        as_text: columns to leave as text: '01' stays '01' where a model learned it so.
        missing: further words for missing values.
        wishes: what the user says of cells that have two readings.
        exclude: columns that are not read.
        old: read cells as runs of 0.1.0 did.

    Returns:
        the table, of at least one row; its `reading` says how its cells were read.

    Raises:
        InputError: one sentence on what is wrong with the source, and where.
        MissingExtra: where a kind of source needs a package that is not installed.

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
        "wishes": wishes,
        "old": old,
    }
    if sources.is_source(source) or (source is None and sql is not None):
        return _from_rows(source, options, encoding, sql, sheet, exclude)
    if isinstance(source, Mapping):
        table = frames.read_mapping(source)
    elif frames.is_frame(source):
        table = frames.read_frame(source)
    else:
        raise InputError(
            f"A table was expected, and a {type(source).__name__} came: give the path of a .csv or "
            ".parquet file, a pandas, polars or pyarrow table, or a dict of column name to values."
        )
    if sql is not None:
        rows = columns_in_memory.rows_of({name: table[name] for name in table.names})
        return _understood(queries.run(sql, rows, exclude=exclude), options)
    return _with_cells(table, options, exclude)


def _from_rows(
    source: Any,
    options: Mapping[str, Any],
    encoding: str | None,
    sql: str | None,
    sheet: str | None,
    exclude: Collection[str],
) -> Table:
    """Return the table of a source that is not in memory."""
    # A number may be a further word for missing, and only a text can be looked at for that.
    wishes = options["wishes"] or CellWishes()
    as_text: Any = {*options["given"], *wishes.number_format, *wishes.missing}
    as_text = True if options["missing"] or options["old"] else as_text
    rows = sources.open(
        source, encoding=encoding, sql=sql, sheet=sheet, exclude=exclude, as_text=as_text
    )
    return _understood(rows, options)


def _understood(rows: SourceRows, options: Mapping[str, Any]) -> Table:
    """Return the table of some rows, their cells understood."""
    reading = cells.understand(rows, **options)
    table = Table(cells.fetch(rows, reading, options["given"]))
    reading.said[:0] = rows.said
    reading.encoding = rows.encoding
    # Whoever made a column categorical meant levels, even where the levels are numbers.
    levels = {name: table[name] for name in rows.types if name in rows.categorical}
    levels = {name: values for name, values in levels.items() if kind_of(values) != "text"}
    return table.with_levels(levels).read_as(reading)


def _with_cells(table: Table, options: Mapping[str, Any], exclude: Collection[str]) -> Table:
    """Return a table from memory, the cells of its columns of text understood."""
    texts = [
        name
        for name in table.names
        if name not in table.levels and name not in exclude and kind_of(table[name]) == "text"
    ]
    if not texts:
        kept = table.reading.orders
        return table.read_as(Reading(missing=options["missing"], old=options["old"], orders=kept))
    rows = columns_in_memory.rows_of({name: table[name] for name in texts})
    reading = cells.understand(rows, **options)
    columns = cells.fetch(rows, reading, options["given"])
    reading.orders = table.reading.orders
    return table.replaced(columns).read_as(reading)
