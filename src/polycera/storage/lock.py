"""One process at a time trains into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polycera.errors import PolyceraError, shorten
from polycera.storage import atomic

LOCK = "lock"


class InUse(PolyceraError):
    """Another process is at work in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another process is training in {shorten(folder)!r}: wait until it ends, or end it first."
        )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others out of a folder. The system lets go of the lock when the process dies, however it dies.

    Raises:
        InUse: at once, where another process holds it.
        PolyceraError: where the folder takes no lock.
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
        # whoever has opened it meanwhile sees that it is gone, and makes another
        atomic.remove(folder / LOCK)


def check(folder: Path) -> None:
    """Find out before any work is done whether another process is at work in a folder.

    Raises:
        InUse: where it is.
    """
    if (folder / LOCK).exists():
        with held(folder):
            pass
