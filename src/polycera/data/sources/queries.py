"""Run one SELECT of the user's over files, or over the rows of a source."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polycera.data.sources import connections, described, plain_types, text_files
from polycera.data.sources.rows import SourceRows
from polycera.errors import InputError, shorten

if TYPE_CHECKING:
    import duckdb

NAMED = re.compile(
    r"""(?:\bfrom|\bjoin|,)\s*(['"])([^'"\n]+\.(?:csv|tsv|txt)(?:\.gz|\.zst)?)\1""", re.IGNORECASE
)
"""A file of text that SQL names as a table: from 'customers.csv'."""


def check(sql: str) -> str:
    """Return the one statement of a text of SQL, without a semicolon at its end.

    Raises:
        InputError: where it is no SQL, several statements, or anything but a SELECT.
    """
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise InputError(f"The SQL cannot be read: {connections.first_line(error)}") from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise InputError(
            f"The SQL must be one SELECT statement, and {kinds} came: {shorten(sql, 60)!r}."
        )
    return str(statements[0].query).strip().rstrip(";")


def names_source(sql: str) -> bool:
    """Return whether a statement reads the rows of a source, which it calls `source`.

    Raises:
        InputError: where it is no SELECT.

    Examples:
        >>> names_source("select * from source"), names_source("select * from 'a.csv'")
        (True, False)
    """
    statement = check(sql)
    # DuckDB's own list of tables wants each of them to be there.
    answer: Any = connections.connect().execute("select json_serialize_sql($1)", [statement])
    parts, tables, inner = [json.loads(answer.fetchone()[0])], set(), set()
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if part.get("type") == "BASE_TABLE":
                tables.add(str(part.get("table_name")).lower())
            if isinstance(named := part.get("cte_map"), dict):
                inner |= {str(entry.get("key")).lower() for entry in named.get("map", [])}
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return "source" in tables - inner


def run(
    sql: str,
    source: SourceRows | None = None,
    *,
    connection: duckdb.DuckDBPyConnection | None = None,
    encoding: str | None = None,
    exclude: Collection[str] = (),
) -> SourceRows:
    """Return the rows that a SELECT gives, in the order in which it gives them.

    Columns of text in a file have the types that all of their cells plainly have: whole numbers,
    decimal numbers, ISO dates and times. What is written in a local way is text here.

    Args:
        sql: one SELECT statement; it may name files: from 'a.csv' join 'b.parquet' using (id).
        source: rows that the statement calls `source`.
        connection: where other tables are that it may name; default: that of the source.
        encoding: encoding of files of text that it names.
        exclude: columns of the answer that are left out.

    Raises:
        InputError: one sentence on what is wrong with it.
    """
    statement = check(sql)
    said: list[str] = []
    if source is not None:
        connection = source.connection
        said += source.said
        plain_types.view(source, "source")
    connection = connection or connections.connect()
    said += _tables_of_text(connection, statement, encoding)
    label = f"The SQL {shorten(' '.join(sql.split()), 60)!r}"
    # The same random numbers each time, where it asks for some.
    connection.execute("select setseed(0)")
    # Several threads give the rows of a join in another order each time, and DuckDB makes a join of
    # more than joins, such as of a list of values.
    connection.execute("set threads = 1")
    try:
        with connections.one_sentence(f"{label} cannot be run"):
            rows = described.view(
                connection,
                statement,
                label,
                exclude=exclude,
                keep="table",
                said=said,
                name="answer",
            )
    finally:
        connection.execute("reset threads")
    described.check_rows(rows)
    return rows


def _tables_of_text(
    connection: duckdb.DuckDBPyConnection, statement: str, encoding: str | None
) -> list[str]:
    """Make tables of the files of text that a statement names, read as everywhere else.

    Returns:
        what was said of them.
    """
    said: list[str] = []
    for place, name in enumerate(dict.fromkeys(name for _, name in NAMED.findall(statement))):
        path = Path(name)
        if not path.is_file():
            continue
        ending = path.suffix.lower()
        rows = text_files.read(
            path,
            f"File {shorten(path)!r}",
            packed=ending if ending in text_files.PACKED else None,
            encoding=encoding,
            connection=connection,
            table=f"file {place}",
        )
        plain_types.view(rows, name)
        said += rows.said
    return said
