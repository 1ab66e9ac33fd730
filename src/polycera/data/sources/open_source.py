"""Open whatever names a table outside of Python's memory: the one door."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from polycera.data.sources import (
    duckdb_files,
    excel,
    json_lines,
    parquet,
    postgres,
    queries,
    several_files,
    sqlite,
    text_files,
)
from polycera.data.sources.rows import SourceRows
from polycera.errors import InputError, listing, shorten
from polycera.storage import remote, temporary

STANDARD_INPUT = "-"
READABLE = (
    ".csv, .tsv, .txt, .jsonl (also .gz, .zst), .parquet, .xlsx, .sqlite, .db and .duckdb can be "
    "read"
)
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", ".parquet"),
    (b"PK\x03\x04", ".xlsx"),
    (b"SQLite format 3\0", ".sqlite"),
    (b"\x1f\x8b", ".csv.gz"),
    (b"\x28\xb5\x2f\xfd", ".csv.zst"),
    (b"{", ".jsonl"),
    (b"[{", ".jsonl"),
)
"""First bytes of what comes on standard input -> what it is; anything else is text."""


def is_source(source: Any) -> bool:
    """Return whether `open_source` is the door for it.

    It is for a path, a list of paths, an address, a DuckDB relation.
    """
    is_path = isinstance(source, str | os.PathLike) or is_list(source)
    return is_path or duckdb_files.is_relation(source)


def is_list(source: Any) -> bool:
    """Return whether a source is a list of paths of files that are one table."""
    return (
        isinstance(source, list | tuple)
        and bool(source)
        and all(isinstance(path, str | os.PathLike) for path in source)
    )


def stored(source: Any) -> str | list[str] | None:
    """Return the name under which a spec stores a source; None for one that has no name.

    A password in an address is left out.
    """
    if is_list(source):
        return [str(path) for path in source]
    if not isinstance(source, str | os.PathLike) or str(source) == STANDARD_INPUT:
        return None
    return postgres.without_password(source) if postgres.is_address(source) else str(source)


def open_source(
    source: Any = None,
    *,
    encoding: str | None = None,
    sql: str | None = None,
    sheet: str | None = None,
    exclude: Collection[str] = (),
    as_text: Collection[str] | Literal[True] = True,
) -> SourceRows:
    """Return the rows of a source that is not in Python's memory.

    Args:
        source: path of a file of text (.csv, .tsv, .txt) or JSON lines, both also .gz and .zst; of
            a Parquet file; of a folder of such files, a pattern (data/*.csv) or a list of paths,
            whose files are one table; of a workbook, an
            SQLite or a DuckDB file, of which ?table=NAME chooses a table; the address of a table
            of PostgreSQL (postgresql://user@host/database?table=NAME); `-`, standard input; a
            DuckDB relation. None with `sql` alone. Of what is in a remote store (s3://, gs://,
            https://) a copy is read.
        encoding: encoding of a file of text; None: what the file shows.
        sql: one SELECT statement, in which the rows of the source are the table `source`; without
            a source it names files itself. Of a database without a table it is the database's own.
        sheet: name of a workbook's sheet; None: the first.
        exclude: columns that are not read; what is in them is never a fault.
        as_text: columns of a file of text whose cells are wanted as they are written; True: all.
            In any other, plain numbers may be numbers.

    Raises:
        InputError: one sentence on what is wrong with the source, and where.
        MissingExtra: for a workbook without python-calamine, for PostgreSQL without psycopg.

    Examples:
        >>> rows = open_source(sql="select 1 as rooms, 'Oslo' as town")
        >>> rows.types
        {'rooms': 'INTEGER', 'town': 'VARCHAR'}
    """
    if source is None:
        if sql is None:
            raise InputError("Name a table, or give a SELECT statement.")
        if queries.names_source(sql):
            raise InputError(
                "The SQL reads from source, and no table came: pass the table whose rows it is to "
                "read, or name a file in its place, as in from 'customers.csv'."
            )
        return queries.run(sql, encoding=encoding, exclude=exclude)
    # Columns are left out of the answer of a statement, which may use them.
    inner: Collection[str] = exclude if sql is None else ()
    as_text = as_text if sql is None else True
    if duckdb_files.is_relation(source):
        rows = duckdb_files.relation(source, exclude=inner)
    elif is_list(source):
        rows = _list(source, encoding, inner, as_text)
    elif str(source) == STANDARD_INPUT:
        rows = _standard_input(encoding, sheet, inner, as_text)
    elif remote.is_address(source):
        copy = remote.fetched(str(source))
        label = f"{'Folder' if copy.is_dir() else 'File'} {shorten(source)!r}"
        rows = _file(copy, label, encoding, sheet, inner, as_text)
    elif postgres.is_address(source):
        if sql is not None and not postgres.names_table(source):
            return postgres.read(source, sql=sql, exclude=exclude)
        rows = postgres.read(source, exclude=inner)
    else:
        path, table, is_named = _split(str(source))
        label = f"File {shorten(path)!r}"
        if is_named or is_database(path):
            check_file(path, label)
            if table is None and sql is not None:
                return _database(path, label, None, sql, exclude)
            rows = _database(path, label, table, None, inner)
        else:
            rows = _file(path, None, encoding, sheet, inner, as_text)
    return rows if sql is None else queries.run(sql, rows, encoding=encoding, exclude=exclude)


def _split(source: str) -> tuple[Path, str | None, bool]:
    """Return the path, the table that is named, and whether a database is: duckdb:a.db?table=t."""
    prefix = next((name for name in ("duckdb:", "sqlite:") if source.startswith(name)), "")
    if not prefix and not ("?table=" in source and not Path(source).exists()):
        return Path(source), None, False
    name, _, query = source.removeprefix(prefix).partition("?")
    options = parse_qs(query, keep_blank_values=True)
    if set(options) - {"table"} or len(options.get("table", [])) > 1:
        raise InputError(
            f"{shorten(source)!r} has {shorten(query)!r} after its name; "
            "?table=NAME is all that can be said there."
        )
    return Path(unquote(name).removeprefix("//")), options.get("table", [None])[0], True


def is_database(path: Path) -> bool:
    """Return whether a file is a database, by its name and its first bytes."""
    return path.suffix.lower() in (*sqlite.ENDINGS, ".duckdb", ".ddb") and path.is_file()


def _database(
    path: Path, label: str, table: str | None, sql: str | None, exclude: Collection[str]
) -> SourceRows:
    kind = sqlite if _begin(path, label).startswith(sqlite.MAGIC) else duckdb_files
    return kind.read(path, label, table=table, sql=sql, exclude=exclude)


def _file(
    path: Path,
    label: str | None,
    encoding: str | None,
    sheet: str | None,
    exclude: Collection[str],
    as_text: Collection[str] | Literal[True],
    keep: Literal["view", "table"] = "view",
) -> SourceRows:
    """Return the rows of a file, by its ending; `label` is None where its path is its name."""
    if (files := several_files.files_of(path)) is not None:
        label = label or f"{'Folder' if path.is_dir() else 'The pattern'} {shorten(path)!r}"
        return several_files.read(files, label, encoding=encoding, exclude=exclude, as_text=as_text)
    label = label or f"File {shorten(path)!r}"
    check_file(path, label)
    ending, packed = _ending(path)
    if ending in text_files.ENDINGS:
        return text_files.read(
            path, label, packed=packed, encoding=encoding, exclude=exclude, as_text=as_text
        )
    if ending in json_lines.ENDINGS:
        return json_lines.read([path], label, exclude=exclude)
    if ending in parquet.ENDINGS and not packed:
        return parquet.read([path], label, exclude=exclude, keep=keep)
    if ending in excel.ENDINGS and not packed:
        return excel.read(path, label, sheet=sheet, exclude=exclude)
    if is_database(path):
        return _database(path, label, None, None, exclude)
    raise InputError(f"{label} has the extension {path.suffix!r}; {READABLE}.")


def _list(
    paths: Sequence[str | os.PathLike[str]],
    encoding: str | None,
    exclude: Collection[str],
    as_text: Collection[str] | Literal[True],
) -> SourceRows:
    """Return the rows of a list of paths, patterns and folders."""
    if len(paths) == 1:
        return _file(Path(paths[0]), None, encoding, None, exclude, as_text)
    label = f"The list of files {listing(map(str, paths), 3)}"
    files: list[Path] = []
    for path in map(Path, paths):
        found = several_files.files_of(path)
        if found is None:
            check_file(path, f"File {shorten(path)!r}")
        files += [path] if found is None else found
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise InputError(f"{label} names {shorten(twice)!r} twice; name each file once.")
    return several_files.read(files, label, encoding=encoding, exclude=exclude, as_text=as_text)


def _standard_input(
    encoding: str | None,
    sheet: str | None,
    exclude: Collection[str],
    as_text: Collection[str] | Literal[True],
) -> SourceRows:
    """Return the rows that come on standard input; what they are is seen by their first bytes."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            "Nothing comes on standard input: send a table to it, as in 'polycera fit - < a.csv'."
        )
    with temporary.file(_chunks(sys.stdin.buffer)) as path:
        start = _begin(path, "Standard input").lstrip()
        ending = next((ending for magic, ending in MAGIC if start.startswith(magic)), ".csv")
        with temporary.named(path, f"table{ending}") as named:
            return _file(named, "Standard input", encoding, sheet, exclude, as_text, keep="table")


def _chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(2**20):
        yield chunk


def _begin(path: Path, label: str) -> bytes:
    """Return the first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None


def _ending(path: Path) -> tuple[str, str | None]:
    """Return the ending of a file's name, and that of what packed it."""
    last = path.suffix.lower()
    if last in text_files.PACKED:
        return Path(path.stem).suffix.lower(), last
    return last, None


def check_file(path: Path, label: str) -> None:
    """Raise where a path is not that of a file."""
    try:
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None
    if not is_there:
        folder = shorten(path.absolute().parent)
        raise InputError(f"{label} does not exist; the folder looked in is {folder!r}.")
    if not is_file:
        raise InputError(f"{label} is a pipe or a device; the path of one file is expected.")
