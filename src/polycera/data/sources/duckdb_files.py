"""Open a table of a DuckDB file, and relations that the user's own DuckDB made."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from polycera.data.sources import connections, described, queries
from polycera.data.sources.rows import SourceRows, kept
from polycera.errors import InputError, UnknownName, listing
from polycera.storage import temporary


def read(
    path: Path,
    label: str,
    *,
    table: str | None = None,
    sql: str | None = None,
    exclude: Collection[str] = (),
    keep: Literal["view", "table"] = "view",
) -> SourceRows:
    """Return a view of a table of a DuckDB file, which is opened for reading only.

    Args:
        path: path of the file.
        label: what errors call it.
        table: name of the table; None: the only one.
        sql: a SELECT over the tables of the file, instead of one of them.
        exclude: columns that are not read.
        keep: "table" where the file is about to be removed.

    Raises:
        InputError: for a file that is no DuckDB database, no row, several tables.
        UnknownName: for a table that it has not.
    """
    connection = connections.connect()
    with connections.one_sentence(f"{label} cannot be opened as a DuckDB database"):
        connection.execute(f"attach {connections.text(str(path))} as database (read_only)")
    if sql is not None and table is None:
        # The answer's table is made in memory, where DuckDB may write.
        connection.execute("set search_path = 'memory.main,database.main'")
        return queries.run(sql, connection=connection, exclude=exclude)
    found = connection.execute(
        "select table_name from information_schema.tables where table_catalog = 'database' "
        "and table_schema = 'main' order by table_name"
    ).fetchall()
    name = one_table([name for (name,) in found], table, label)
    with connections.one_sentence(f"{label} cannot be read"):
        rows = described.view(
            connection,
            f"select * from database.main.{connections.quoted(name)}",
            label,
            exclude=exclude if sql is None else (),
            keep=keep,
        )
    described.check_rows(rows)
    return rows if sql is None else queries.run(sql, rows, exclude=exclude)


def one_table(names: list[str], table: str | None, label: str) -> str:
    """Return the name of the table to read: the one that was asked for, or the only one.

    Raises:
        InputError, UnknownName: where there is none, or it is not clear which.
    """
    if table is not None:
        if table not in names:
            raise UnknownName(f"table of {label}", table, names)
        return table
    if len(names) != 1:
        raise InputError(
            f"{label} has {len(names)} tables ({listing(names, 10)}); one is expected: name it, "
            "as in ?table=NAME, or give --sql."
        )
    return names[0]


def is_relation(source: Any) -> bool:
    """Return whether an object is a relation of DuckDB, without importing DuckDB."""
    kind = type(source)
    return kind.__name__ == "DuckDBPyRelation" and "duckdb" in kind.__module__


def relation(source: Any, *, exclude: Collection[str] = ()) -> SourceRows:
    """Return the rows of a DuckDB relation, copied out of the connection that it belongs to.

    Args:
        source: the relation.
        exclude: columns that are not copied.

    Raises:
        InputError: for a relation that cannot be run, and where it has no row.
    """
    label = "The DuckDB relation"
    wanted = kept(source.columns, exclude, label)
    connection = connections.connect()
    with connections.one_sentence(f"{label} cannot be read"), temporary.folder() as folder:
        # Its connection may be in use, and cannot be reached from the relation.
        path = folder / "relation.parquet"
        source.select(*(connections.quoted(name) for name in wanted)).to_parquet(str(path))
        rows = described.view(
            connection,
            f"select * from read_parquet({connections.text(str(path))})",
            label,
            keep="table",
        )
    described.check_rows(rows)
    return rows
