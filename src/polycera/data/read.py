"""Read any source of rows as a table in memory."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from polycera.data import cells, frames, sources
from polycera.data.cells import CellFormat
from polycera.data.column import kind_of
from polycera.data.reading import Reading
from polycera.data.sources import in_memory
from polycera.data.sources.open_source import check_file
from polycera.data.table import Table
from polycera.errors import InputError, MissingExtra, shorten


def read(
    source: Any,
    *,
    encoding: str | None = None,
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
        MissingExtra: for Parquet without pyarrow.

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
    if isinstance(source, str | os.PathLike):
        if str(source).lower().endswith(".parquet"):
            return _with_cells(_parquet(Path(source)), options, exclude)
        rows = sources.open(source, encoding=encoding, exclude=exclude)
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
        ".parquet file, a pandas, polars or pyarrow table, or a dict of column name to values."
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
    rows = in_memory.rows_of({name: table[name] for name in texts})
    reading = cells.understand(rows, **options)
    columns = cells.fetch(rows, reading, options["given"])
    return table.replaced(columns).read_as(reading)


def _parquet(path: Path) -> Table:
    """Return the table in a Parquet file."""
    label = f"File {shorten(path)!r}"
    check_file(path, label)
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Reading Parquet", "pyarrow", "parquet") from None
    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"{label} is no readable Parquet file: {shorten(str(error).splitlines()[0], 160)}"
        ) from None
    if table.num_rows == 0:
        raise InputError(f"{label} has 0 rows; at least one is expected.")
    return frames.read_frame(table)
