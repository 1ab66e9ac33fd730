"""Let DuckDB query columns that are in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from polycera.data.column import kind_of
from polycera.data.sources import connections
from polycera.data.sources.rows import TEXT, SourceRows

TYPES = {"number": "DOUBLE", "date": "TIMESTAMP", "boolean": "BOOLEAN", "text": TEXT}
"""Kind of a canonical column -> DuckDB's type."""


def rows_of(columns: Mapping[str, NDArray[Any]], *, written: bool = False) -> SourceRows:
    """Return columns in memory as rows that DuckDB can query.

    Args:
        columns: name -> values [rows], canonical, see `column.canonical`.
        written: whether a person wrote the cells, see `SourceRows`.
    """
    connection = connections.connect()
    names = connections.sql_names(list(columns))
    # Without a sample of its values a column of objects is text.
    connection.execute("set pandas_analyze_sample = 0")
    connection.register("given", {f"c{k}": values for k, values in enumerate(columns.values())})
    types = {name: TYPES[kind_of(values)] for name, values in columns.items()}
    chosen = ", ".join(
        f"{_value(f'c{place}', types[name])} as {connections.quoted(names[name])}"
        for place, name in enumerate(columns)
    )
    connection.execute(f'create table "rows" as select {chosen} from given')
    connection.unregister("given")
    return SourceRows(
        connection,
        '"rows"',
        types,
        "The table",
        written=written,
        names=names,
    )


def _value(cell: str, kind: str) -> str:
    """Return the SQL of a cell; NaN marks a number that is missing."""
    return f"nullif({cell}, 'nan'::double)" if kind == "DOUBLE" else f"{cell}::{kind.lower()}"
