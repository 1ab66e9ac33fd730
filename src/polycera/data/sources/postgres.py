"""Read a table, or the answer to a query, of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from polycera.data.sources import connections, staged
from polycera.data.sources.rows import TEXT, SourceRows, kept
from polycera.errors import InputError, MissingExtra, shorten

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import Buffer

SCHEMES = ("postgresql://", "postgres://")
"""The beginnings of the address of such a database."""

TYPES = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), "BIGINT"),
    # An exact decimal becomes what a network computes with.
    **dict.fromkeys(("float4", "float8", "numeric"), "DOUBLE"),
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "bytea": "BLOB",
}
"""PostgreSQL's type -> DuckDB's; what is not named is text, and an array is a list of text."""


def read(address: str, *, sql: str | None = None, exclude: Collection[str] = ()) -> SourceRows:
    """Read the rows of a table, or of a query, into DuckDB.

    The server sends them as text, which DuckDB reads from a temporary file: no row becomes a
    Python object. The transaction is read-only.

    Args:
        address: postgresql://user@host/database?table=name; the password is best left to the
            variable PGPASSWORD or the file ~/.pgpass. Without `table` a query is needed.
        sql: a query in PostgreSQL's SQL, instead of a table.
        exclude: columns that are not read.

    Raises:
        InputError: no such database, table or column, or a query that PostgreSQL refuses.
        MissingExtra: where psycopg is not installed.
    """
    server, table = _divided(address)
    label = f"Database {shorten(without_password(server), 80)!r}"
    if (table is None) == (sql is None):
        raise InputError(
            f"{label} holds many tables: name one in its address (...?table=customers), "
            "or give a query (--sql), not both."
        )
    with _connected(server, label) as database:
        query = sql.strip().rstrip(";") if sql is not None else f"TABLE {_table(table or '')}"
        types = _types(database, query)
        wanted = kept(types, exclude, label)
        return staged.from_csv(
            connections.connect(),
            _copied(database, query, wanted),
            {name: types[name] for name in wanted},
            label,
            left_out=[name for name in types if name in set(exclude)],
            marks_text=True,
        )


def is_address(source: object) -> TypeGuard[str]:
    """Return whether a source is the address of a PostgreSQL database."""
    return isinstance(source, str) and source.startswith(SCHEMES)


def names_table(address: str) -> bool:
    """Return whether an address names a table, beside the database."""
    return _divided(address)[1] is not None


def without_password(address: str) -> str:
    """Return an address as it may be shown and stored: without its password.

    Examples:
        >>> without_password("postgresql://ada:secret@db/sales?table=orders")
        'postgresql://ada@db/sales?table=orders'
    """
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "password"]
    netloc = f"{user.partition(':')[0]}{at}{host}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="/.")))


def _divided(address: str) -> tuple[str, str | None]:
    """Return the address of the server's database, and the table that it names."""
    parts = urlsplit(address)
    options = parse_qsl(parts.query)
    table = next((value for name, value in options if name == "table"), None)
    rest = urlencode([(name, value) for name, value in options if name != "table"])
    return urlunsplit(parts._replace(query=rest)), table


def _table(name: str) -> str:
    """Return a table's name, perhaps with its schema before a point, as SQL wants it."""
    return ".".join(connections.quoted(part) for part in name.split("."))


@contextmanager
def _connected(server: str, label: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection that can only read; errors of the database become InputError."""
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("Reading from PostgreSQL", "psycopg", "postgres") from None
    try:
        with psycopg.connect(server, connect_timeout=10) as database:
            # A query that writes is refused by the server.
            database.read_only = True
            yield database
    except psycopg.Error as error:
        raise InputError(f"{label} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Return the first line of PostgreSQL's message, with a full stop."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    # libpq begins with the address once more.
    return shorten(line.rpartition("failed: ")[2], 200).rstrip(".:") + "."


def _types(database: psycopg.Connection[Any], query: str) -> dict[str, str]:
    """Return the columns of a query with the types that they get in DuckDB."""
    answer = database.execute(f"SELECT * FROM ({query}) AS asked LIMIT 0")
    types: dict[str, str] = {}
    for column in answer.description or ():
        if column.name in types:
            raise InputError(
                f"Column names must differ, and the query gives {shorten(column.name)!r} twice; "
                "name its columns with AS."
            )
        known = database.adapters.types.get(column.type_code)
        is_array = known is not None and column.type_code == known.array_oid
        name = "" if known is None else known.name
        types[column.name] = f"{TEXT}[]" if is_array else TYPES.get(name, TEXT)
    return types


def _copied(database: psycopg.Connection[Any], query: str, wanted: list[str]) -> Iterator[Buffer]:
    """Yield the rows as CSV, as the server sends them."""
    columns = ", ".join(f"asked.{connections.quoted(name)}" for name in wanted)
    command = f"COPY (SELECT {columns} FROM ({query}) AS asked) TO STDOUT (FORMAT csv)"
    with database.cursor() as cursor, cursor.copy(command) as copy:
        yield from copy
