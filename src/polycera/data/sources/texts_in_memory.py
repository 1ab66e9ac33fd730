"""Let DuckDB query columns of text that are in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from polycera.data.sources import connections
from polycera.data.sources.rows import TEXT, SourceRows


def rows_of(columns: Mapping[str, NDArray[Any]], *, written: bool = False) -> SourceRows:
    """Return columns of text in memory as rows that DuckDB can query.

    Args:
        columns: name -> texts [rows], None where missing.
        written: whether a person wrote the cells, see `SourceRows`.
    """
    connection = connections.connect()
    names = connections.sql_names(list(columns))
    # Without a sample of its values a column of objects is text.
    connection.execute("set pandas_analyze_sample = 0")
    connection.register("given", {f"c{k}": values for k, values in enumerate(columns.values())})
    chosen = ", ".join(
        f"c{place}::varchar as {connections.quoted(name)}"
        for place, name in enumerate(names.values())
    )
    connection.execute(f'create table "rows" as select {chosen} from given')
    connection.unregister("given")
    return SourceRows(
        connection,
        '"rows"',
        dict.fromkeys(columns, TEXT),
        "The table",
        written=written,
        names={name: other for name, other in names.items() if name != other},
    )
