"""Read CSV, TSV and other files of text, packed ones too, into DuckDB."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from polycera.data.sources import connections, dialect, encodings
from polycera.data.sources.dialect import Dialect
from polycera.data.sources.rows import TEXT, SourceRows, kept
from polycera.data.table import check_names
from polycera.errors import InputError, listing, shorten
from polycera.storage import temporary

if TYPE_CHECKING:
    import duckdb

ENDINGS = (".csv", ".tsv", ".txt")
PACKED = {".gz": "gzip", ".zst": "zstd"}
SAMPLE = 2**20
"""Bytes by which encoding and dialect are chosen."""
TYPED_ROWS = 10_000
"""Most rows by which the types of columns are supposed."""
CHUNK = 2**22
"""Bytes that are brought to UTF-8 at once."""
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
GROUPED = re.compile(r"-?[1-9][0-9]{0,2}\.[0-9]{3}")
DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def read(
    path: Path,
    label: str,
    *,
    packed: str | None = None,
    encoding: str | None = None,
    exclude: Collection[str] = (),
    as_text: Collection[str] | Literal[True] = True,
    connection: duckdb.DuckDBPyConnection | None = None,
    table: str = "rows",
    may_be_empty: bool = False,
) -> SourceRows:
    """Read a file of text whole, its cells as text, or as numbers where they are plain ones.

    The first line names the columns; lines of titles above it are skipped, and said. Blank lines
    are no rows.

    Args:
        path: path of the file.
        label: what errors call it.
        packed: ".gz" or ".zst" where the file is packed.
        encoding: encoding of the text; None: UTF-8, or what the file shows, which is said.
        exclude: columns that are not read.
        as_text: columns whose cells are wanted as they are written; True: all columns. In any
            other, cells may be numbers, where all of them are plain ones: whole numbers without a
            leading zero (BIGINT), or decimal ones in the notation of programs (DOUBLE).
        connection: where the rows go; default: a new one.
        table: name of the table that is made there.
        may_be_empty: whether there may be names of columns and no row.

    Raises:
        InputError: nothing in it, no row, a ragged row, a column twice, binary content, another
            encoding.
    """
    said: list[str] = []
    connection = connection or connections.connect()
    start = _start(connection, path, packed, label)
    found = encodings.of(start, encoding, label, said)
    keep = None if as_text is True else frozenset(as_text)
    try:
        file = _File(path, label, packed, found, start, keep)
        rows = _read(connection, connections.quoted(table), file, exclude, said)
    except UnicodeDecodeError as error:
        # Beyond the first bytes: the file is read once more, as what it turns out to be.
        if encoding is not None:
            raise _wrong_byte(path, packed, found, label) from None
        said = []
        found = encodings.western(error.object, label, said, far=True)
        file = _File(path, label, packed, found, start, keep)
        rows = _read(connection, connections.quoted(table), file, exclude, said)
    if not may_be_empty and not rows.execute(f"select 1 from {rows.relation} limit 1").fetchone():
        raise InputError(
            f"{label} has column names ({listing([*rows.types, *rows.left_out], 5)}) and 0 rows; "
            "at least one row is expected."
        )
    return rows


@dataclass(frozen=True)
class _File:
    """Holds what is known of a file before it is read.

    Attributes:
        path: path of the file.
        label: what errors call it.
        packed: ".gz" or ".zst" where it is packed.
        encoding: encoding of its text.
        start: its first bytes.
        as_text: columns to leave as text; None: all.
    """

    path: Path
    label: str
    packed: str | None
    encoding: str
    start: bytes
    as_text: frozenset[str] | None


def _read(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    file: _File,
    exclude: Collection[str],
    said: list[str],
) -> SourceRows:
    sample = _sample(file.start, file.encoding)
    written = dialect.find(sample)
    if written is None:
        raise InputError(
            f"{file.label} is empty; a line of column names and at least one row are expected."
        )
    names = written.names
    check_names(names)
    said += _remarks(written, file.label)
    given = connections.sql_names(names)
    wanted = kept(names, exclude, file.label)
    types = dict.fromkeys(wanted, TEXT)
    # Of a small file all cells are text: there is no time to be won.
    if len(file.start) == SAMPLE and file.as_text is not None:
        plain = _plain_types(sample, written)
        types |= {name: plain[name] for name in wanted if name not in file.as_text}
    types = _load(connection, relation, file, written, types)
    return SourceRows(
        connection,
        relation,
        types,
        file.label,
        written=True,
        said=tuple(said),
        encoding=file.encoding,
        left_out=tuple(name for name in names if name in set(exclude)),
        names=given,
    )


def _plain_types(sample: str, written: Dialect) -> dict[str, str]:
    """Return the type of each column by the first rows: DOUBLE, BIGINT or VARCHAR."""
    records = written.reader(io.StringIO(sample, newline=""))
    names = written.names
    rows = [row for row in islice(records, written.skip, TYPED_ROWS) if len(row) == len(names)]
    types = {}
    for name, cells in zip(names, zip(*rows, strict=True), strict=False):
        texts = set(cells) - {""}
        if texts and all(map(WHOLE.fullmatch, texts)):
            types[name] = "BIGINT"
        elif texts and all(map(DECIMAL.fullmatch, texts)) and _has_point(texts):
            types[name] = "DOUBLE"
    return dict.fromkeys(names, TEXT) | types


def _has_point(texts: Collection[str]) -> bool:
    """Return whether the points in these numbers stand for decimals: '1.234' may be 1234."""
    pointed = [text for text in texts if "." in text]
    return bool(pointed) and not all(map(GROUPED.fullmatch, pointed))


def _load(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    file: _File,
    written: Dialect,
    types: dict[str, str],
) -> dict[str, str]:
    """Fill a table of a connection, and return the types of its columns.

    They are those that were wished, or else, where a cell is not of its type, all text.
    """
    import duckdb

    path, packed = file.path, file.packed
    with ExitStack() as stack:
        if file.encoding != "utf-8":
            chunks = _as_utf8(path, packed, file.encoding, file.label)
            path, packed = stack.enter_context(temporary.file(chunks)), None
        texts = dict.fromkeys(types, TEXT)
        if types != texts and written.line_end:
            with suppress(duckdb.Error):
                connection.execute(_query(relation, path, packed, written, types))
                return types
        try:
            if not written.line_end:
                raise duckdb.InvalidInputException("lines end in several ways")
            connection.execute(_query(relation, path, packed, written, texts))
        except duckdb.Error as error:
            if packed == ".zst":
                raise InputError(f"{file.label} cannot be read: {_explained(error)}") from None
            _check_lines(path, packed, written, file.label)
            # Python's reader takes lines that DuckDB refuses, such as ones of two line endings.
            clean = stack.enter_context(temporary.file(_rewritten(path, packed, written)))
            plain = replace(written, delimiter=",", quote='"', escape='"', line_end="\n")
            with connections.one_sentence(f"{file.label} cannot be read"):
                connection.execute(_query(relation, clean, None, plain, texts))
    return texts


def _query(
    relation: str, path: Path, packed: str | None, written: Dialect, types: dict[str, str]
) -> str:
    """Return the statement that reads a file into a table of these columns."""
    literal = connections.text
    given = connections.sql_names(written.names)
    declared, chosen = [], []
    for place, name in enumerate(written.names):
        cell, kind = f"c{place}", types.get(name, TEXT)
        declared.append(f"{literal(cell)}: {literal('DOUBLE' if kind == 'DOUBLE' else TEXT)}")
        # As a whole number DuckDB would also read 1.5, 1_000 and 007.
        checked = (
            f"case when {cell} is null then null when regexp_full_match({cell}, "
            f"{literal(WHOLE.pattern)}) then {cell}::bigint else error('not whole') end"
        )
        if name in types:
            value = checked if kind == "BIGINT" else cell
            chosen.append(f"{value} as {connections.quoted(given[name])}")
    options = {
        "auto_detect": "false",
        "delim": literal(written.delimiter),
        "quote": literal(written.quote),
        "escape": literal(written.escape),
        "header": "false",
        "skip": str(written.skip),
        # DuckDB would go by the first one, which may stand within a name.
        "new_line": literal(written.line_end.encode("unicode_escape").decode()),
        "compression": literal(PACKED[packed] if packed else "none"),
        "columns": f"{{{', '.join(declared)}}}",
        # In a file of one column a blank line is no row, and "" is a row without a value.
        "allow_quoted_nulls": str(len(given) > 1).lower(),
    }
    listed = ", ".join(f"{name} = {value}" for name, value in options.items())
    blank = " where c0 is not null" if len(given) == 1 else ""
    return (
        f"create or replace table {relation} as select {', '.join(chosen)} "
        f"from read_csv({literal(str(path))}, {listed}){blank}"
    )


def _start(
    connection: duckdb.DuckDBPyConnection, path: Path, packed: str | None, label: str
) -> bytes:
    """Return the first bytes of a file's text."""
    if packed == ".zst":
        # Only DuckDB can unpack it: its lines, taken as cells of one column.
        whole = (
            f"from read_csv({connections.text(str(path))}, auto_detect = false, header = false, "
            "columns = {'line': 'VARCHAR'}, delim = '\x1f', quote = '', escape = '', "
            "compression = 'zstd') limit 1000"
        )
        with connections.one_sentence(f"{label} is named .zst and cannot be unpacked"):
            lines = connection.execute(whole).fetchall()
        return "\n".join(line or "" for (line,) in lines).encode() + b"\n" * bool(lines)
    with _unpacked(path, packed, label) as file:
        return file.read(SAMPLE)


@contextmanager
def _unpacked(path: Path, packed: str | None, label: str) -> Iterator[Any]:
    """Yield the bytes of a file, unpacked; errors of the system become one sentence."""
    try:
        with gzip.open(path, "rb") if packed == ".gz" else path.open("rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{label} is named .gz and cannot be unpacked: {error}.") from None
    except OSError as error:
        raise InputError(f"{label} cannot be opened: {error.strerror or error}.") from None


def _sample(start: bytes, encoding: str) -> str:
    """Return the first lines, whole: the last one of many is left out, for it may be cut off."""
    text = codecs.getincrementaldecoder(encoding)().decode(start).removeprefix("\ufeff")
    if len(start) < SAMPLE:
        return text
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text[: end + 1] or text


def _as_utf8(path: Path, packed: str | None, encoding: str, label: str) -> Iterator[bytes]:
    """Yield a file's text in UTF-8."""
    if packed == ".zst":
        raise InputError(
            f"{label} is packed with zstd and is not UTF-8; unpack it first (zstd -d)."
        )
    decoder = codecs.getincrementaldecoder(encoding)()
    with _unpacked(path, packed, label) as file:
        while True:
            chunk = file.read(CHUNK)
            try:
                yield decoder.decode(chunk, final=not chunk).encode()
            except UnicodeDecodeError:
                raise _wrong_byte(path, packed, encoding, label) from None
            if not chunk:
                return


def _wrong_byte(path: Path, packed: str | None, encoding: str, label: str) -> InputError:
    """Return the error on the first byte of a file that an encoding cannot decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read, line = 0, 1
    with _unpacked(path, packed, label) as file:
        while True:
            chunk = file.read(CHUNK)
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                # The decoder may have kept some bytes of the chunk before.
                place = read + len(chunk) - len(error.object) + error.start
                line += error.object[: error.start].decode(encoding, "ignore").count("\n")
                byte = f"0x{error.object[error.start]:02x}"
                return encodings.wrong_byte(place, line, byte, encoding, label)
            read += len(chunk)


@contextmanager
def _lines(path: Path, packed: str | None, label: str) -> Iterator[io.TextIOWrapper]:
    """Yield the lines of a file of UTF-8, in Python; the slow way, taken only after an error."""
    with _unpacked(path, packed, label) as file:
        yield io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def _check_lines(path: Path, packed: str | None, written: Dialect, label: str) -> None:
    """Raise where a record has not as many cells as there are names, naming its line."""
    expected = len(written.names)
    with _lines(path, packed, label) as lines:
        reader = written.reader(lines, strict=True)
        line = 1
        try:
            for place, record in enumerate(reader, 1):
                if record and place > written.skip and len(record) != expected:
                    raise _ragged(line, record, expected, written, label)
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{label} cannot be read beyond line {reader.line_num} ({error}); "
                "is a quotation mark left open there?"
            ) from None


def _ragged(
    line: int, record: list[str], expected: int, written: Dialect, label: str
) -> InputError:
    found = f"{len(record)} field{'s' * (len(record) != 1)}"
    left_open = len(record) < expected and any("\n" in cell for cell in record)
    hint = "; is a quotation mark left open there?" if left_open else "."
    where = "first line" if written.skip == 1 else f"header ({listing(written.names, 3)})"
    begins = shorten(written.delimiter.join(record), 60)
    return InputError(
        f"{label}, line {line}: {found} found and {expected} expected, as in the {where}, "
        f"divided by {written.delimiter!r}; the line begins {begins!r}{hint}"
    )


def _rewritten(path: Path, packed: str | None, written: Dialect) -> Iterator[bytes]:
    """Yield the records of a file in the plainest dialect."""
    with _lines(path, packed, str(path)) as lines:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for record in written.reader(lines):
            writer.writerow(record)
            if text.tell() > CHUNK:
                yield text.getvalue().encode()
                text.seek(0)
                text.truncate()
        yield text.getvalue().encode()


def _explained(error: Exception) -> str:
    """Return what DuckDB says of a faulty line, without its advice."""
    lines = [line for line in str(error).splitlines() if line and "ossible" not in line]
    return shorten("; ".join(lines[:3]).partition("Error: ")[2], 200).rstrip(".") + "."


def _remarks(written: Dialect, label: str) -> list[str]:
    """Return sentences on what was chosen."""
    said = []
    if count := len(written.titles):
        lines = "1 line above the header was" if count == 1 else f"{count} lines above it were"
        begin = shorten(written.titles[0], 60)
        said.append(
            f"The header of {label} names {listing(written.names, 3)}; {lines} skipped, "
            f"beginning {begin!r}."
        )
    if written.unnamed:
        said.append(
            f"{label} has one name fewer in its header than cells in each row: the first column, "
            "as R writes row names, was named 'column 1'."
        )
    if all(_is_number(cell) for cell in written.header):
        said.append(
            f"The first line of {label} holds only numbers ({listing(written.names, 3)}) and was "
            "read as the names of the columns; add a line of names where it is a row."
        )
    return said


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
