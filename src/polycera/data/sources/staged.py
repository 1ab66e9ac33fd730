"""Hand rows of Python's to DuckDB as a stream, never all of them at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from polycera.data.sources import connections, described
from polycera.data.sources.rows import TEXT, SourceRows
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
    chunks: Iterable[bytes | bytearray | memoryview],
    types: Mapping[str, str],
    label: str,
    *,
    written: bool = False,
    said: Collection[str] = (),
    left_out: Collection[str] = (),
    marks_text: bool = False,
) -> SourceRows:
    """Return a table of rows that come as CSV in UTF-8, without a header.

    Args:
        connection, types, label, written, said: as for `rows`.
        chunks: the CSV.
        left_out: columns of the source that are not among the rows.
        marks_text: whether an empty text is in quotation marks, and an empty cell without them is
            missing, as PostgreSQL writes; otherwise both are missing.
    """
    names = connections.sql_names(list(types))
    declared, selected = [], []
    for place, (name, kind) in enumerate(types.items()):
        cell = f"c{place}"
        # Lists and bytes are marked as what they are, so that nobody learns from them.
        is_list, is_bytes = kind.endswith("[]"), marks_text and kind == "BLOB"
        declared.append(f"'{cell}': {connections.text(TEXT if is_list or is_bytes else kind)}")
        value = f"list_value({cell})" if is_list else f"encode({cell})" if is_bytes else cell
        selected.append(f"{value} as {connections.quoted(names[name])}")
    columns, chosen = ", ".join(declared), ", ".join(selected)
    empty = ", nullstr = '', allow_quoted_nulls = false" if marks_text else ""
    with (
        temporary.file(chunks, ".csv") as path,
        connections.one_sentence(f"{label} cannot be read"),
    ):
        connection.execute(
            f'create or replace table "rows" as select {chosen} from read_csv('
            f"{connections.text(str(path))}, auto_detect = false, header = false, delim = ',', "
            f"""quote = '"', escape = '"', columns = {{{columns}}}{empty})"""
        )
    found = SourceRows(
        connection,
        '"rows"',
        dict(types),
        label,
        written,
        said=tuple(said),
        left_out=tuple(left_out),
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
