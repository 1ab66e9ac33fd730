"""Read CSV, TSV and other files of text, packed ones too, into DuckDB."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polycera.data.sources import connections, dialect, encodings
from polycera.data.sources.dialect import Dialect
from polycera.data.sources.rows import TEXT, SourceRows
from polycera.data.table import check_names
from polycera.errors import InputError, listing, shorten
from polycera.storage import temporary

if TYPE_CHECKING:
    import duckdb

ENDINGS = (".csv", ".tsv", ".txt")
PACKED = {".gz": "gzip", ".zst": "zstd"}
SAMPLE = 2**20
"""Bytes by which encoding and dialect are chosen."""
CHUNK = 2**22
"""Bytes that are brought to UTF-8 at once."""


def read(
    path: Path,
    label: str,
    *,
    packed: str | None = None,
    encoding: str | None = None,
    exclude: Collection[str] = (),
    connection: duckdb.DuckDBPyConnection | None = None,
    table: str = "rows",
) -> SourceRows:
    """Read a file of text whole, each column as text.

    The first line names the columns; lines of titles above it are skipped, and said. Blank lines
    are no rows.

    Args:
        path: path of the file.
        label: what errors call it.
        packed: ".gz" or ".zst" where the file is packed.
        encoding: encoding of the text; None: UTF-8, or what the file shows, which is said.
        exclude: columns that are not read.
        connection: where the rows go; default: a new one.
        table: name of the table that is made there.

    Raises:
        InputError: nothing in it, no row, a ragged row, a column twice, binary content, another
            encoding.
    """
    said: list[str] = []
    connection = connection or connections.connect()
    relation = connections.quoted(table)
    start = _start(connection, path, packed, label)
    found = encodings.of(start, encoding, label, said)
    try:
        return _read(connection, relation, path, label, packed, found, start, exclude, said)
    except UnicodeDecodeError as error:
        # Beyond the first bytes: the file is read once more, as what it turns out to be.
        said = []
        found = encodings.western(error.object, label, said, guess=encoding is None, far=True)
        return _read(connection, relation, path, label, packed, found, start, exclude, said)


def _read(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    path: Path,
    label: str,
    packed: str | None,
    encoding: str,
    start: bytes,
    exclude: Collection[str],
    said: list[str],
) -> SourceRows:
    written = dialect.find(_sample(start, encoding))
    if written is None:
        raise InputError(
            f"{label} is empty; a line of column names and at least one row are expected."
        )
    names = written.names
    check_names(names)
    said += _remarks(written, label)
    given = connections.sql_names(names)
    wanted = [name for name in names if name not in set(exclude)]
    if not wanted:
        raise InputError(f"All columns of {label} are excluded: {listing(names)}.")
    chosen = [given[name] for name in wanted]
    _load(connection, relation, path, label, packed, encoding, written, chosen)
    rows = SourceRows(
        connection,
        relation,
        dict.fromkeys(wanted, TEXT),
        label,
        written=True,
        said=tuple(said),
        encoding=encoding,
        left_out=tuple(name for name in names if name in set(exclude)),
        names={name: other for name, other in given.items() if name != other},
    )
    if not rows.execute(f"select 1 from {rows.relation} limit 1").fetchone():
        raise InputError(
            f"{label} has column names ({listing(names, 5)}) and 0 rows; "
            "at least one row is expected."
        )
    return rows


def _load(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    path: Path,
    label: str,
    packed: str | None,
    encoding: str,
    written: Dialect,
    wanted: list[str],
) -> None:
    """Fill a table of a connection."""
    import duckdb

    with ExitStack() as stack:
        if encoding != "utf-8":
            chunks = _as_utf8(path, packed, encoding, label)
            path, packed = stack.enter_context(temporary.file(chunks)), None
        try:
            connection.execute(_query(relation, path, packed, written, wanted))
        except duckdb.Error as error:
            if packed == ".zst":
                raise InputError(f"{label} cannot be read: {_explained(error)}") from None
            _check_lines(path, packed, written, label)
            # Python's reader takes lines that DuckDB refuses, such as ones of two line endings.
            clean = stack.enter_context(temporary.file(_rewritten(path, packed, written)))
            plain = Dialect(",", '"', '"', 1, written.header, unnamed=written.unnamed)
            with connections.one_sentence(f"{label} cannot be read"):
                connection.execute(_query(relation, clean, None, plain, wanted))


def _query(
    relation: str, path: Path, packed: str | None, written: Dialect, wanted: list[str]
) -> str:
    """Return the statement that reads a file into a table."""
    literal = connections.text
    given = list(connections.sql_names(written.names).values())
    columns = ", ".join(f"{literal(f'c{place}')}: 'VARCHAR'" for place in range(len(given)))
    chosen = ", ".join(
        f"c{place} as {connections.quoted(name)}"
        for place, name in enumerate(given)
        if name in set(wanted)
    )
    options = {
        "auto_detect": "false",
        "delim": literal(written.delimiter),
        "quote": literal(written.quote),
        "escape": literal(written.escape),
        "header": "false",
        "skip": str(written.skip),
        "compression": literal(PACKED[packed] if packed else "none"),
        "columns": f"{{{columns}}}",
        # In a file of one column a blank line is no row, and "" is a row without a value.
        "allow_quoted_nulls": str(len(given) > 1).lower(),
    }
    listed = ", ".join(f"{name} = {value}" for name, value in options.items())
    blank = " where c0 is not null" if len(given) == 1 else ""
    return (
        f"create or replace table {relation} as "
        f"select {chosen} from read_csv({literal(str(path))}, {listed}){blank}"
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
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                raise InputError(
                    f"{label} is not {encoding} text: the byte 0x{byte:02x} cannot be decoded; "
                    "pass the file's encoding, such as encoding='latin-1' (--encoding latin-1)."
                ) from None
            if not chunk:
                return


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
