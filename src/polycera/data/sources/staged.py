"""Hand rows of Python's to DuckDB as a stream, never all of them at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from polycera.data.sources import connections, described
from polycera.data.sources.rows import SourceRows
from polycera.storage import temporary

if TYPE_CHECKING:
    import duckdb

BATCH = 10_000
"""Rows that are text in memory at once."""


def rows(
    connection: duckdb.DuckDBPyConnection,
    records: Iterable[Sequence[Any]],
    types: Mapping[str, str],
    label: str,
    *,
    written: bool = False,
    said: Collection[str] = (),
) -> SourceRows:
    """Return a table of some records.

    Args:
        connection: where the table is made.
        records: the rows, each with a cell a column; None and '' are missing.
        types: name -> DuckDB type, in the order of the cells.
        label: what errors call the rows.
        written: whether text is as a person wrote it.
        said: sentences on how the source was read.

    Raises:
        InputError: for a cell that is not of its column's type, and where there is no record.
    """
    return from_csv(connection, _as_csv(records), types, label, written=written, said=said)


def from_csv(
    connection: duckdb.DuckDBPyConnection,
    chunks: Iterable[bytes],
    types: Mapping[str, str],
    label: str,
    *,
    written: bool = False,
    said: Collection[str] = (),
) -> SourceRows:
    """Return a table of rows that come as CSV in UTF-8, without a header; as `rows`."""
    given = list(types.values())
    columns = ", ".join(f"'c{place}': {connections.text(kind)}" for place, kind in enumerate(given))
    names = connections.sql_names(list(types))
    chosen = ", ".join(
        f"c{place} as {connections.quoted(names[name])}" for place, name in enumerate(types)
    )
    with (
        temporary.file(chunks, ".csv") as path,
        connections.one_sentence(f"{label} cannot be read"),
    ):
        connection.execute(
            f'create or replace table "rows" as select {chosen} from read_csv('
            f"{connections.text(str(path))}, auto_detect = false, header = false, delim = ',', "
            f"""quote = '"', escape = '"', columns = {{{columns}}})"""
        )
    found = SourceRows(
        connection,
        '"rows"',
        dict(types),
        label,
        written,
        said=tuple(said),
        names=names,
    )
    described.check_rows(found)
    return found


def _as_csv(records: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    text = io.StringIO()
    # All cells are quoted: the writer would leave a lone carriage return bare, and in a table of
    # one column a missing cell would be a blank line.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    records = iter(records)
    while batch := list(islice(records, BATCH)):
        writer.writerows(batch)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
