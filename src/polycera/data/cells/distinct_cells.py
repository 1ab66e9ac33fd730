"""Count the different cells of columns that have few: each is then looked into once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from polycera.data.cells.formats import plain_sql
from polycera.data.cells.words import bare
from polycera.data.sources import SourceRows
from polycera.data.sources.connections import quoted

SAMPLE = 50_000
"""First rows of a source by which it is supposed which columns have few different cells."""
FEW = 2**12
"""Most different cells in these rows of a column that is supposed to have few."""
MANY = 2**14
"""Different cells in all rows from which on a column does not have few after all."""
_numbers = count(1)
"""Numbers of tables: sources may share a connection."""


def new_table() -> str:
    """Return a name for a table of cells that no other table has, quoted as SQL wants it."""
    return quoted(f"cells {next(_numbers)}")


def count_cells(rows: SourceRows, names: Iterable[str]) -> dict[str, str]:
    """Return the tables of the different cells of those columns that have few.

    The first rows only choose the columns, and all rows are counted: what is made of the tables
    does not depend on the choice. Each has the columns cell, clean (the cell without blanks around
    it), plain (the number that it is in the notation of programs, or null) and n (the number of its
    rows, not null). A table is made once for a source.

    Args:
        rows: the source; the tables are kept in `rows.distinct_cells`.
        names: columns of it.
    """
    known = rows.distinct_cells
    new = [name for name in names if name not in known]
    if new:
        tests = ", ".join(f"approx_count_distinct({rows.quoted(name)})" for name in new)
        first = f"(from {rows.relation} limit {SAMPLE})"
        counts = rows.execute(f"select {tests} from {first}").fetchone()
        assert counts is not None
        for name, distinct in zip(new, counts, strict=True):
            known[name] = _counted(rows, name) if distinct <= FEW else None
    return {name: table for name in names if (table := known[name]) is not None}


def _counted(rows: SourceRows, name: str) -> str:
    """Make the table of the different cells of a column, and return its name."""
    table, cell = new_table(), f"{rows.quoted(name)}::varchar"
    rows.execute(
        f"create table {table} as select cell, {bare('cell')} as clean, {plain_sql('cell')} as "
        f"plain, n from (select {cell} as cell, count(*) as n from {rows.relation} "
        f"where {rows.quoted(name)} is not null group by all)"
    )
    return table


def has_few(rows: SourceRows, table: str) -> bool:
    """Return whether a column has few different cells indeed, by the table of them."""
    size = rows.execute(f"select count(*) from {table}").fetchone()
    assert size is not None
    return bool(size[0] <= MANY)


def codes_sql(column: str, cells: Sequence[str]) -> str:
    """Return the SQL of the place of each row's cell among these; their number where it is null.

    Args:
        column: SQL of the column.
        cells: the different cells of the column.
    """
    if not cells:
        return "0::usmallint"
    literals = ", ".join("'" + cell.replace("'", "''") + "'" for cell in cells)
    code = f"enum_code(try_cast({column}::varchar as enum({literals})))"
    return f"coalesce({code}::usmallint, {len(cells)}::usmallint)"
