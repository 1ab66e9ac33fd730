"""Open DuckDB with our settings, write names as SQL wants them, turn its errors into ours."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polycera.errors import InputError, shorten

if TYPE_CHECKING:
    import duckdb

SETTINGS: dict[str, Any] = {
    # Extensions come from a site that many networks do not reach; nothing waits for it.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "preserve_insertion_order": True,
}
STATEMENTS = (
    "set enable_progress_bar = false",
    # Times with a zone are brought to UTC wherever the machine is.
    "set TimeZone = 'UTC'",
)


def connect() -> duckdb.DuckDBPyConnection:
    """Return a connection to a database in memory, which spills to a temporary folder."""
    import duckdb

    # DuckDB makes the folder when it first spills, and removes it at the end.
    spill = os.path.join(tempfile.gettempdir(), f"polycera-{os.getpid()}-{secrets.token_hex(4)}")
    connection = duckdb.connect(":memory:", config={**SETTINGS, "temp_directory": spill})
    for statement in STATEMENTS:
        connection.execute(statement)
    return connection


@contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Turn an error of DuckDB into an InputError that begins with `what`."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise InputError(f"{what}: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """Return the first line of DuckDB's message, without the kind of error and with a full stop."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    line = re.sub(r"^[\w ]*Error: ", "", line)
    return shorten(line, 200).rstrip(".:") + "."


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def sql_names(names: list[str]) -> dict[str, str]:
    """Return a name in SQL for each column: the same, but where SQL would take two for one."""
    given: dict[str, str] = {}
    taken = {name.lower() for name in names}
    seen: set[str] = set()
    for name in names:
        candidate, number = name, 1
        while candidate.lower() in seen or (candidate != name and candidate.lower() in taken):
            candidate, number = f"{name}_{number}", number + 1
        seen.add(candidate.lower())
        given[name] = candidate
    return given
