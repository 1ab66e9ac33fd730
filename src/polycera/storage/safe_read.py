"""Open a run's files for reading: plain files of limited size, no links; no other module does."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import PolyceraError, shorten

SIZE = 2**23
"""Most bytes of a JSON file."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""Flag that makes opening a link fail; 0 on systems without it."""

LARGEST = 2**34
"""Most bytes of a file of arrays: larger than any table's network, and hashed within a minute."""

LISTS = 100_000
"""Most lists and dicts of a JSON file."""
VALUES = 600_000
"""Most values. The objects stay under 64 MB."""


@contextmanager
def opened(path: Path, linked: bool = False) -> Iterator[tuple[BufferedReader, int]]:
    """Yield an opened file and its size in bytes.

    Args:
        path: path of the file.
        linked: whether it may be a link, because the user named it.

    Raises:
        PolyceraError: where it cannot be read, or is a link, a folder or a pipe: a run's files are
            its own.
    """
    try:
        if not linked and stat.S_ISLNK(os.lstat(path).st_mode):
            raise PolyceraError(
                f"{shorten(path)!r} is a link; the files of a run must lie in its folder."
            )
        # O_NONBLOCK: opening a pipe would wait until another process writes to it.
        descriptor = os.open(
            path, os.O_RDONLY | (0 if linked else NO_LINK) | getattr(os, "O_NONBLOCK", 0)
        )
    except OSError as error:
        raise PolyceraError(f"Cannot read {shorten(path)!r}: {error.strerror}.") from None
    # The opened file is examined, not the path, which may have been replaced meanwhile.
    status = os.fstat(descriptor)
    plain = stat.S_ISREG(status.st_mode)
    if not plain or status.st_size > LARGEST:
        os.close(descriptor)
        reason = (
            f"it has {status.st_size} bytes, and {LARGEST} are read at most"
            if plain
            else "it is not a regular file"
        )
        raise PolyceraError(f"Cannot read {shorten(path)!r}: {reason}.")
    with open(descriptor, "rb") as file:
        yield file, status.st_size


def content(path: Path, limit: int) -> bytes:
    """Return the whole content of a file.

    Raises:
        PolyceraError: as `opened`, and where it is longer than the limit in bytes.
    """
    with opened(path) as (file, size):
        if size > limit:
            raise PolyceraError(f"{shorten(path)!r} has {size} bytes; {limit} are read at most.")
        return file.read()


def json(text: bytes) -> Any:
    """Return the values of a JSON text, whose size is checked before it is parsed.

    Raises:
        ValueError: where it is not JSON, or is larger than any file of a run.
    """
    if len(text) > SIZE or text.count(b"[") + text.count(b"{") > LISTS or text.count(b",") > VALUES:
        raise ValueError(f"it is longer than {SIZE} bytes, {LISTS} lists or {VALUES} values")
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def own_folder(path: Path) -> None:
    """Raise where a folder within a run is a link or not a folder: files are removed in there.

    Raises:
        PolyceraError: where it exists and is a link or not a folder.
    """
    try:
        kind = os.lstat(path).st_mode
    except OSError:  # it does not exist yet
        return
    if not stat.S_ISDIR(kind):
        raise PolyceraError(
            f"{shorten(path)!r} is a link or a file; the folders of a run must lie in the run "
            "itself."
        )
