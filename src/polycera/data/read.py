"""Read any source of rows as a table in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from polycera.data import cells, sources
from polycera.data.cells import CellFormat
from polycera.data.column import canonical, kind_of
from polycera.data.level_codes import LevelCodes
from polycera.data.name_patterns import is_pattern, means
from polycera.data.reading import CellWishes, Reading
from polycera.data.sources import SourceRows, columns_in_memory, queries
from polycera.data.table import LeaveOut, Table
from polycera.data.unread_columns import left_out
from polycera.errors import InputError


def read(
    source: Any,
    *,
    encoding: str | None = None,
    sql: str | None = None,
    sheet: str | None = None,
    formats: Mapping[str, CellFormat] | None = None,
    as_text: Collection[str] = (),
    as_written: Collection[str] = (),
    missing: Iterable[str] = (),
    wishes: CellWishes | None = None,
    leave_out: LeaveOut | None = None,
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
        as_text: columns, and patterns of columns, to leave as text: '01' stays '01' where a model
            learned it so.
        as_written: columns of text in which words for missing values stay as they are.
        missing: further words for missing values.
        wishes: what the user says of cells that have two readings.
        leave_out: called with the names of the columns; returns those not to read, with reasons.
            Columns of lists, structs or bytes are left out in any case, see `Table.unread`.
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
    options: dict[str, Any] = {
        "missing": tuple(missing),
        "wishes": wishes,
        "old": old,
    }
    choice = Choice(as_text, as_written, formats or {}, leave_out)
    if sources.is_source(source) or (source is None and sql is not None):
        # A number may be a further word for missing, and only a text can be looked at for that.
        texts: Any = choice.opened_as_text
        if options["missing"] or old:
            texts = True
        elif texts is not True and wishes is not None:
            texts = {*texts, *wishes.number_format, *wishes.missing}
        rows = sources.open(source, encoding=encoding, sql=sql, sheet=sheet, as_text=texts)
        return _understood(rows, options, choice)
    # Narwhals, which knows frames, takes a while to import, and a file does not need it.
    from polycera.data import frames

    # A query may want columns that are not to be read, but no nested ones.
    unread = None if sql is not None else leave_out
    if isinstance(source, Mapping):
        table = frames.read_mapping(source, unread)
    elif frames.is_frame(source):
        table = frames.read_frame(source, as_text, unread)
    else:
        raise InputError(
            f"A table was expected, and a {type(source).__name__} came: give the path of a .csv or "
            ".parquet file, a pandas, polars or pyarrow table, or a dict of column name to values."
        )
    if sql is not None:
        rows = columns_in_memory.rows_of({name: table[name] for name in table.names})
        return _understood(queries.run(sql, rows), options, choice)
    return _with_cells(table, options, choice)


@dataclass(frozen=True)
class Choice:
    """Holds which columns are read, and which of them are not looked into."""

    as_text: Collection[str]
    as_written: Collection[str]
    formats: Mapping[str, CellFormat]
    leave_out: LeaveOut | None

    def known(self, names: Iterable[str]) -> dict[str, CellFormat]:
        """Return the formats of the columns that need not be looked into."""
        texts = [name for name in names if means(self.as_text, name)]
        return {name: CellFormat("text") for name in texts} | dict(self.formats)

    @property
    def opened_as_text(self) -> Any:
        """Return the columns that a source leaves as text; true for all."""
        names = {*self.as_text, *self.as_written, *self.formats}
        return True if any(map(is_pattern, names)) else names


def _understood(rows: SourceRows, options: Mapping[str, Any], choice: Choice) -> Table:
    """Return the table of some rows, their cells understood."""
    types = rows.types
    unread = left_out(list(types), choice.leave_out, lambda name: cells.what_nests(types[name]))
    raw = [name for name in types if name in choice.as_written and name not in unread]
    columns = {name: canonical(cells.as_written(rows, name), name) for name in raw}
    rows = replace(rows, types={name: types[name] for name in types if name not in {*unread, *raw}})
    known = choice.known(types)
    reading = cells.understand(rows, given=known, **options)
    codes: dict[str, LevelCodes] = {}
    columns |= cells.fetch(rows, reading, known, codes)
    table = Table.of_canonical({name: columns[name] for name in types if name in columns})
    table = table.with_codes(codes)
    reading.said[:0] = rows.said
    reading.encoding = rows.encoding
    # Whoever made a column categorical meant levels, even where the levels are numbers.
    levels = {name: table[name] for name in rows.types if name in rows.categorical}
    levels = {name: values for name, values in levels.items() if kind_of(values) != "text"}
    return table.with_levels(levels).with_unread(unread).read_as(reading)


def _with_cells(table: Table, options: Mapping[str, Any], choice: Choice) -> Table:
    """Return a table from memory, the cells of its columns of text understood."""
    texts = [
        name
        for name in table.names
        if name not in table.levels
        and name not in choice.as_written
        and kind_of(table[name]) == "text"
    ]
    if not texts:
        kept = table.reading.orders
        return table.read_as(Reading(missing=options["missing"], old=options["old"], orders=kept))
    rows = columns_in_memory.rows_of({name: table[name] for name in texts})
    known = choice.known(table.names)
    reading = cells.understand(rows, given=known, **options)
    codes: dict[str, LevelCodes] = {}
    columns = cells.fetch(rows, reading, known, codes)
    reading.orders = table.reading.orders
    return table.replaced(columns).with_codes(codes).read_as(reading)
