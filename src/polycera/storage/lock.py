"""Lock a folder, so that one process at a time trains into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polycera.errors import InUse, PolyceraError, shorten
from polycera.storage import atomic

LOCK = "lock"
"""File name of the lock."""


@contextmanager
def acquired(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system releases it when the process dies for any reason.

    Raises:
        InUse: at once, where another process holds it.
        PolyceraError: where no lock can be made in the folder.
    """
    from filelock import FileLock, Timeout

    atomic.make_folder(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InUse(folder) from None
    except OSError as error:
        raise PolyceraError(
            f"Cannot write into the folder {shorten(folder)!r}: {error.strerror}."
        ) from None
    try:
        yield
    finally:
        lock.release()
        # A process that has opened the file meanwhile notices that it is gone, and makes a new
        # one.
        atomic.remove(folder / LOCK)


def check(folder: Path) -> None:
    """Check, before any work is done, that no other process is training into a folder.

    Raises:
        InUse: where one is.
    """
    if (folder / LOCK).exists():
        with acquired(folder):
            pass
