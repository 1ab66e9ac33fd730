"""Decide whether a table is read into memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from polycera.data.sources import is_list
from polycera.errors import InputError, listing, shorten

DEFAULT = "1 GB"
"""Largest size of a table in memory; training takes some five times as much."""
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def size_of(text: str) -> int:
    """Return a size such as "2 GB" in bytes.

    Raises:
        InputError: for anything else.

    Examples:
        >>> size_of("1.5 GB")
        1500000000
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?B)", str(text).strip())
    if match is None:
        raise InputError(
            f"memory is {shorten(repr(text))}; a size is expected, such as '500 MB' or '2 GB'."
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def stream_of(source: Any, memory: str, leave_out: Any = ()) -> Any:
    """Return the rows of a Parquet table that is too large for memory; None for any other source.

    Args:
        source: whatever `polycera.data.read` takes.
        memory: the largest size in memory: rows x columns, 8 bytes a number and 64 a text.
        leave_out: columns that will not be read.

    Raises:
        InputError: for a size that is none.
    """
    limit = size_of(memory)
    try:
        rows = parquet_of(source, leave_out)
    except InputError:
        # Whoever reads whole tables says what is wrong with the file.
        return None
    return rows if rows is not None and rows.rows * rows.bytes_per_row > limit else None


def parquet_of(source: Any, leave_out: Any = ()) -> Any:
    """Return the rows of a Parquet table of any size; None for any other source.

    Args:
        source, leave_out: as for `stream_of`.

    Raises:
        InputError: for a file that is no Parquet or has other columns than the first one, and for
            a table without rows.
    """
    paths = source if is_list(source) else [source]
    if not all(isinstance(path, str | Path) for path in paths):
        return None
    # DuckDB takes a tenth of a second to import, and no other source needs it here.
    from polycera.data.streaming.parquet_rows import ParquetRows, files_of

    found = [files_of(path) for path in paths]
    if not all(found):
        return None
    files = [file for several in found for file in several]
    what = "File" if len(files) == 1 else "Table"
    named = listing(map(str, paths), 3) if len(paths) > 1 else repr(shorten(paths[0]))
    return ParquetRows(files, f"{what} {named}", leave_out)
