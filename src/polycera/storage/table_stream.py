"""Write named columns a part at a time, for tables that are larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polycera.errors import InputError, shorten
from polycera.storage import atomic, table_files, temporary

Append = Callable[[Mapping[str, Sequence[Any]]], None]
"""Function that writes some rows behind those written before; each call has the same columns."""


def check_path(path: Path) -> None:
    """Check, before any work is done, that `writing` can write to this path.

    Raises:
        InputError: for an ending other than .csv and .parquet, or none for a folder; for a folder
            that exists and is not empty.
    """
    if path.suffix in (".csv", ".parquet"):
        table_files.check_path(path)
        return
    if path.suffix:
        raise InputError(
            f"Cannot write {shorten(path.name)!r} a part at a time: end the name in .csv or "
            ".parquet, or name a folder."
        )
    atomic.check_free(path, over_empty=True)


@contextmanager
def writing(path: Path) -> Iterator[Append]:
    """Yield a function that appends rows to a table on disk, there at the end or not at all.

    Args:
        path: a .csv file, a .parquet file, or a folder, which gets a Parquet file for each call.

    Raises:
        InputError: as `check_path`.
        PolyceraError: where the disk refuses.
    """
    check_path(path)
    if path.suffix == ".csv":
        with atomic.replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            yield _csv(file)
    elif path.suffix == ".parquet":
        with temporary.folder() as parts:
            yield _parts(parts)
            _join(parts, path)
    else:
        with atomic.new_folder(path, over_empty=True) as draft:
            yield _parts(draft)


def _csv(file: Any) -> Append:
    """Return a function that appends rows to an open file of text."""
    begun: list[bool] = []

    def append(columns: Mapping[str, Sequence[Any]]) -> None:
        """Write rows; before the first ones, the names of the columns."""
        file.write(table_files.as_csv(columns, header=not begun))
        begun.append(True)

    return append


def _parts(folder: Path) -> Append:
    """Return a function that writes rows to the next file of a folder."""
    written: list[Path] = []

    def append(columns: Mapping[str, Sequence[Any]]) -> None:
        """Write rows as a Parquet file."""
        written.append(folder / f"part-{len(written):05}.parquet")
        table_files.write(written[-1], columns)

    return append


def _join(parts: Path, path: Path) -> None:
    """Write the Parquet files of a folder as one, in their order."""
    import duckdb

    with atomic.replacing(path) as draft, duckdb.connect() as connection:
        connection.execute("set memory_limit = '256MB'")
        connection.execute(
            "copy (from read_parquet($1)) to $2 (format parquet)",
            [sorted(map(str, parts.glob("*.parquet"))), str(draft)],
        )
