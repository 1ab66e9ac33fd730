"""The only place that opens a file of a run for reading: a plain file of a stated size, no link to elsewhere."""

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
"""Bytes of a JSON file at most."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)

LARGEST = 2**34
"""Bytes of a file of numbers at most: longer than any table's network, and digested within a minute."""

LISTS, VALUES = 100_000, 600_000
"""Lists and dicts, and values, in a JSON file at most: what Python makes of them stays under 64 MB."""


@contextmanager
def opened(path: Path, linked: bool = False) -> Iterator[tuple[BufferedReader, int]]:
    """The file and its size in bytes.

    Args:
        path: of the file.
        linked: whether it may be a link, because the user named it and not a run.

    Raises:
        PolyceraError: where it cannot be read, or is a link, a folder, a pipe: a run's files are
            its own.
    """
    try:
        if not linked and stat.S_ISLNK(os.lstat(path).st_mode):
            raise PolyceraError(
                f"{shorten(path)!r} is a link to elsewhere; the files of a run are its own."
            )
        # not to wait for whoever may write into a pipe
        descriptor = os.open(
            path, os.O_RDONLY | (0 if linked else NO_LINK) | getattr(os, "O_NONBLOCK", 0)
        )
    except OSError as error:
        raise PolyceraError(f"Cannot read {shorten(path)!r}: {error.strerror}.") from None
    about = os.fstat(descriptor)
    plain = stat.S_ISREG(about.st_mode)
    if not plain or about.st_size > LARGEST:
        os.close(descriptor)
        what = (
            f"it has {about.st_size} bytes, and {LARGEST} are read at most"
            if plain
            else "it is no plain file"
        )
        raise PolyceraError(f"Cannot read {shorten(path)!r}: {what}.")
    with open(descriptor, "rb") as file:
        yield file, about.st_size


def content(path: Path, limit: int) -> bytes:
    """All of a file.

    Raises:
        PolyceraError: as `opened`, and where it is longer than the limit in bytes.
    """
    with opened(path) as (file, size):
        if size > limit:
            raise PolyceraError(f"{shorten(path)!r} has {size} bytes; {limit} are read at most.")
        return file.read()


def json(text: bytes) -> Any:
    """What a JSON text says, looked at before anything is made of it.

    Raises:
        ValueError: where it is no JSON, or holds more than a run has any use for.
    """
    if len(text) > SIZE or text.count(b"[") + text.count(b"{") > LISTS or text.count(b",") > VALUES:
        raise ValueError(f"it is longer than {SIZE} bytes, {LISTS} lists or {VALUES} values")
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def own_folder(path: Path) -> None:
    """Hold a folder within a run against what it may be: what is written and swept in there must not lie elsewhere.

    Raises:
        PolyceraError: where it is there and is a link or no folder.
    """
    try:
        kind = os.lstat(path).st_mode
    except OSError:  # it is not there yet
        return
    if not stat.S_ISDIR(kind):
        raise PolyceraError(
            f"{shorten(path)!r} is a link to elsewhere, or a file; the folders of a run are its own."
        )
