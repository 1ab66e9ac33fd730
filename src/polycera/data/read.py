"""Any source of rows -> a table."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from polycera.data import decode_file, delimited, frames
from polycera.data.table import Table
from polycera.errors import InputError, MissingExtra, shorten

_TEXT = (".csv", ".tsv", ".txt")


def read(source: Any, *, encoding: str = "utf-8", as_text: Collection[str] = ()) -> Table:
    """Reads a table.

    In text files the delimiter is one of `, ; tab |`, and the first line names the columns. A column is a
    number, a boolean (true, false), an ISO date, or else text; one stray word keeps it text, whole.
    Missing are cells of nothing or whitespace, NA, N/A, NaN, nan, null, None and ?. Blank lines are skipped.
    Data frames keep the kinds they declare; None, NaN, NaT and pandas NA are missing in them.

    Args:
        source: the path of a .csv, .tsv, .txt (also .gz) or .parquet file; a pandas, polars or pyarrow table;
            a dict of name to values [rows]; a Table, returned as it is.
        encoding: of text files.
        as_text: columns of text files to leave as written: '01' stays '01' where a model learned it so.

    Returns:
        the table, of at least one row.

    Raises:
        InputError: saying in one sentence what is wrong with the source, and where.
        MissingExtra: for Parquet without pyarrow.

    Examples:
        >>> read({"rooms": [3, 4], "town": ["Oslo", None]}).names
        ['rooms', 'town']
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        return _file(Path(source), encoding, as_text)
    if isinstance(source, Mapping):
        return frames.read_mapping(source)
    if frames.is_frame(source):
        return frames.read_frame(source)
    raise InputError(
        f"A table was expected, and a {type(source).__name__} came: give the path of a .csv or .parquet "
        "file, a pandas, polars or pyarrow table, or a dict of column name to values."
    )


def _file(path: Path, encoding: str, as_text: Collection[str]) -> Table:
    label = f"File {shorten(path)!r}"
    suffix = _suffix(path)
    _check_file(path, label)
    if suffix == ".parquet":
        return _parquet(path, label)
    if suffix.removesuffix(".gz") not in _TEXT:
        raise InputError(
            f"{label} has the extension {path.suffix!r}; .csv, .tsv, .txt (also .gz) and .parquet can be read."
        )
    raw = _bytes(path, label)
    raw = decode_file.unzip(raw, label) if suffix.endswith(".gz") else raw
    return delimited.read_text(decode_file.decode(raw, encoding, label), label, as_text)


def _suffix(path: Path) -> str:
    last = path.suffix.lower()
    return Path(path.stem).suffix.lower() + last if last == ".gz" else last


def _check_file(path: Path, label: str) -> None:
    try:
        is_folder, is_there, is_file = path.is_dir(), path.exists(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None
    if is_folder:
        raise InputError(f"{label} is a directory; the path of one file is expected.")
    if not is_there:
        folder = shorten(path.absolute().parent)
        raise InputError(f"{label} does not exist; the folder looked in is {folder!r}.")
    if not is_file:
        raise InputError(f"{label} is a pipe or a device; the path of one file is expected.")


def _bytes(path: Path, label: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None


def _parquet(path: Path, label: str) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Reading Parquet", "pyarrow", "parquet") from None
    try:
        with path.open("rb") as file:
            table = pyarrow.parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(
            f"{label} is no readable Parquet file: {shorten(str(error).splitlines()[0], 160)}"
        ) from None
    if table.num_rows == 0:
        raise InputError(f"{label} has 0 rows; at least one is expected.")
    return frames.read_frame(table)
