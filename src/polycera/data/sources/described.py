"""Describe a query's columns as rows of a typed source."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from polycera.data.sources import connections
from polycera.data.sources.rows import SourceRows, kept
from polycera.data.table import check_names
from polycera.errors import InputError

if TYPE_CHECKING:
    import duckdb


def view(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    label: str,
    *,
    exclude: Collection[str] = (),
    categorical: Collection[str] = (),
    keep: Literal["view", "table"] = "view",
    said: Collection[str] = (),
    written: bool = False,
    name: str = "rows",
) -> SourceRows:
    """Return the rows of a query.

    Args:
        connection: where the query runs.
        query: a SELECT.
        label: what errors call the rows.
        exclude: columns that are left out.
        categorical: columns whose values are levels.
        keep: "table" where the query may not give the same rows twice, or is slow.
        said: sentences on how the source was read.
        written: whether its text is as a person wrote it.
        name: of the view or table.

    Raises:
        InputError: a column twice, no column left.
        duckdb.Error: for a query that does not run.
    """
    described = connection.execute(f"describe {query}").fetchall()
    all_types = {str(column): str(kind) for column, kind, *_ in described}
    check_names(str(column) for column, *_ in described)
    types = {column: all_types[column] for column in kept(all_types, exclude, label)}
    relation, chosen = connections.quoted(name), ", ".join(map(connections.quoted, types))
    connection.execute(
        f"create or replace {keep} {relation} as select {chosen} from ({query}) as source"
    )
    return SourceRows(
        connection,
        relation,
        types,
        label,
        written,
        said=tuple(said),
        left_out=tuple(column for column in all_types if column in set(exclude)),
        categorical=frozenset(categorical) & frozenset(types),
    )


def check_rows(rows: SourceRows) -> None:
    """Raise where there is no row."""
    first: Any = rows.execute(f"select 1 from {rows.relation} limit 1").fetchone()
    if first is None:
        raise InputError(f"{rows.label} has 0 rows; at least one is expected.")
