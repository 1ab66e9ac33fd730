"""Open whatever names a table outside of Python: the one door."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from polycera.data.sources import postgres, text_files
from polycera.data.sources.rows import SourceRows
from polycera.errors import InputError, shorten


def open_source(
    source: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    exclude: Collection[str] = (),
) -> SourceRows:
    """Return the rows of a file.

    Args:
        source: path of a .csv, .tsv or .txt file, which may be packed (.gz, .zst);
            or the address of a table, postgresql://user@host/database?table=name.
        encoding: encoding of a file of text; None: what the file shows.
        exclude: columns that are not read; what is in them is never a fault.

    Raises:
        InputError: one sentence on what is wrong with the source, and where.

    Examples:
        >>> sources.open("customers.csv").types  # doctest: +SKIP
        {'age': 'VARCHAR', 'town': 'VARCHAR'}
    """
    if postgres.is_address(source):
        return postgres.read(str(source), exclude=exclude)
    path = Path(source)
    label = f"File {shorten(path)!r}"
    check_file(path, label)
    ending, packed = _ending(path)
    if ending in text_files.ENDINGS:
        return text_files.read(path, label, packed=packed, encoding=encoding, exclude=exclude)
    raise InputError(
        f"{label} has the extension {path.suffix!r}; .csv, .tsv, .txt (also .gz, .zst) can be read."
    )


def _ending(path: Path) -> tuple[str, str | None]:
    """Return the ending of a file's name, and that of what packed it."""
    last = path.suffix.lower()
    if last in text_files.PACKED:
        return Path(path.stem).suffix.lower(), last
    return last, None


def check_file(path: Path, label: str) -> None:
    """Raise where a path is not that of a file."""
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
