"""Read a table of an SQLite file, by Python's own module."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from polycera.data.sources import connections, staged
from polycera.data.sources.duckdb_files import one_table
from polycera.data.sources.rows import TEXT, SourceRows, kept
from polycera.errors import InputError, shorten

ENDINGS = (".sqlite", ".sqlite3", ".db", ".db3")
MAGIC = b"SQLite format 3\0"
STORED = ("integer", "real", "text", "blob")
"""Types that SQLite gives the value of a cell; its columns have no type of their own."""


def read(
    path: Path,
    label: str,
    *,
    table: str | None = None,
    sql: str | None = None,
    exclude: Collection[str] = (),
) -> SourceRows:
    """Return the rows of a table of an SQLite file, which is opened for reading only.

    A column has the type that all of its values have; text beside numbers makes it text. A column
    with bytes is declared BLOB, and its bytes are not read.

    Args:
        path: path of the file.
        label: what errors call it.
        table: name of the table or view; None: the only one.
        sql: a SELECT in SQLite's own words, instead of a table.
        exclude: columns that are not read.

    Raises:
        InputError: one sentence on what is wrong with it.
        UnknownName: for a table that it has not.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as database:
            return _read(database, label, table, sql, exclude)
    except sqlite3.Error as error:
        what = "The SQL cannot be run on" if sql is not None else "Cannot read"
        raise InputError(f"{what} {label[0].lower()}{label[1:]}: {shorten(error, 200)}.") from None


def _read(
    database: sqlite3.Connection,
    label: str,
    table: str | None,
    sql: str | None,
    exclude: Collection[str],
) -> SourceRows:
    if sql is None or table is not None:
        found = database.execute(
            "select name from sqlite_master where type in ('table', 'view') "
            "and name not like 'sqlite\\_%' escape '\\' order by name"
        )
        name = one_table([name for (name,) in found], table, label)
        query = f"select * from {connections.quoted(name)}"
    else:
        query = sql.strip().rstrip(";")
    names = [column[0] for column in database.execute(f"{query} limit 0").description or ()]
    wanted = kept(names, exclude, label)
    types = _types(database, query, wanted)
    cells = ", ".join(
        "null" if types[name] == "BLOB" else connections.quoted(name) for name in wanted
    )
    return staged.rows(
        connections.connect(), database.execute(f"select {cells} from ({query})"), types, label
    )


def _types(database: sqlite3.Connection, query: str, names: list[str]) -> dict[str, str]:
    """Return the type of each column, by the values that are stored in it."""
    counts = ", ".join(
        f"sum(typeof({connections.quoted(name)}) = '{stored}')"
        for name in names
        for stored in STORED
    )
    row = database.execute(f"select {counts} from ({query})").fetchone()
    types = {}
    for place, name in enumerate(names):
        integer, real, text, blob = row[place * len(STORED) : (place + 1) * len(STORED)]
        if blob:
            types[name] = "BLOB"
        elif text or not (integer or real):
            types[name] = TEXT
        else:
            types[name] = "DOUBLE" if real else "BIGINT"
    return types
