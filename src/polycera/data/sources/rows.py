"""Hold rows that DuckDB can query, from whatever kind of source they came."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polycera.data.sources import connections
from polycera.errors import InputError, UnknownName, listing

if TYPE_CHECKING:
    import duckdb

TEXT = "VARCHAR"
"""DuckDB's type of a column of text."""


@dataclass(frozen=True)
class SourceRows:
    """Hold a table or view of a DuckDB connection, with what is known of its columns.

    Guaranteed: `select ... from {rows.relation}` gives the rows in the order of the source, and
    the same rows each time. Names are as the source wrote them, without blanks around them, none
    twice. Columns that were excluded are not there. Where `written` is true, each cell of a
    VARCHAR column is what the file has between two delimiters, quotation marks taken off, blanks
    kept; a cell without anything in it is NULL. A column of any other type holds what the source
    declares, or what a file of text can only mean.

    Attributes:
        connection: the connection in which the relation is.
        relation: name of the table or view, quoted as SQL wants it.
        types: name -> DuckDB type, such as VARCHAR, BIGINT, DOUBLE, TIMESTAMP, in order.
        label: what errors call the source, such as "File 'a.csv'".
        written: whether VARCHAR cells are as a person wrote them (files of text, spreadsheets), or
            text that a typed source (Parquet, SQL) declares as text.
        said: sentences on how the source was read, where that was a choice.
        encoding: encoding of a file of text; None for other sources.
        left_out: excluded columns that the source has.
        categorical: columns that the source declares as levels, though they may hold numbers.
        names: name -> name in SQL, where it may differ: SQL does not tell 'a' from 'A'.
        distinct_cells: name -> table of the different cells of a column that has few, or None for
            a column of many; filled in by `polycera.data.cells` where it looks into a column.
    """

    connection: duckdb.DuckDBPyConnection
    relation: str
    types: Mapping[str, str]
    label: str
    written: bool
    said: tuple[str, ...] = ()
    encoding: str | None = None
    left_out: tuple[str, ...] = ()
    categorical: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    distinct_cells: dict[str, str | None] = field(default_factory=dict)

    def quoted(self, name: str) -> str:
        """Return a column's name as SQL wants it; UnknownName where there is no such column."""
        if name not in self.types:
            raise UnknownName("column", name, self.types)
        return connections.quoted(self.names.get(name, name))

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> duckdb.DuckDBPyConnection:
        """Run a query on a cursor of its own, whose rows are then fetched from what is returned.

        Raises:
            InputError: where DuckDB refuses it, or the source turns out to be damaged.
        """
        with connections.one_sentence(f"{self.label} cannot be read"):
            return self.connection.cursor().execute(sql, list(parameters))

    def count(self) -> int:
        """Return the number of rows."""
        row = self.execute(f"select count(*) from {self.relation}").fetchone()
        return int(row[0]) if row else 0


def kept(names: Iterable[str], exclude: Collection[str], label: str) -> list[str]:
    """Return the columns of a source that are not excluded.

    Raises:
        InputError: where none is left.
    """
    all_names, excluded = list(names), set(exclude)
    left = [name for name in all_names if name not in excluded]
    if not left:
        raise InputError(f"All columns of {label} are excluded: {listing(all_names)}.")
    return left
