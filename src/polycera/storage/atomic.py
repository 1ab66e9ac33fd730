"""The only place that opens a file for writing: all of it, or nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polycera.errors import InputError, PolyceraError, shorten
from polycera.storage import paths


class Taken(InputError):
    """The name of a folder that is to be made is taken."""


def write(path: Path, *parts: bytes | bytearray | memoryview) -> None:
    """Write a file through a temporary one beside it: a reader sees the old content or the new, never half.

    Args:
        path: of the file.
        *parts: its content, one after the other.

    Raises:
        PolyceraError: where the disk or the folder does not take it; what was there before is
            untouched.
    """
    with _refused(path, f" ({sum(map(len, parts))} bytes)"), _beside(path) as temporary:
        with open(temporary, "xb") as file:
            file.writelines(parts)
        _settled(temporary, path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to for who writes files itself; what was written takes the place of `path` at the end.

    Raises:
        PolyceraError: where the disk or the folder does not take it; what was there before is
            untouched.
    """
    with _refused(path), _beside(path) as temporary:
        yield temporary
        _settled(temporary, path)


@contextmanager
def _refused(path: Path, size: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PolyceraError(
            f"Cannot write {shorten(path)!r}{size}: {error.strerror or error}."
        ) from None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    # two threads may write one file; its ending says to some what to write
    writer = f"{os.getpid()}.{threading.get_native_id()}"
    temporary = path.with_name(f".{writer}.{path.name[-100:]}")
    # whoever made the folder may have put a link there, which must not be written through
    with suppress(OSError):
        temporary.unlink()
    try:
        yield temporary
    finally:
        # it is gone where all went well, and never was where the folder took nothing
        with suppress(OSError):
            temporary.unlink()


def _settled(temporary: Path, path: Path) -> None:
    """Bring the content to the disk, then its name: after a power failure too, one of the two contents is there."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def make_folder(path: Path) -> None:
    """A folder within a run, where it is not there yet.

    Raises:
        PolyceraError: where the disk does not take it.
    """
    with _refused(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Take a file away, or a folder that is empty by now; it may be gone already."""
    with suppress(OSError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def discard(folder: Path) -> None:
    """Take a folder of ours away with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Take away what processes that were killed left half-written in a folder; nobody else may be at work there."""
    for path in paths.listed(folder):
        if is_half(path):
            remove(path)


def is_half(path: Path) -> bool:
    """Whether a file has the name of one that is being written, or was when its process was killed."""
    return re.match(r"\.\d+\.", path.name) is not None


def check_free(path: Path, *, over_empty: bool = False) -> None:
    """Find out before any work is done whether `new_folder` will be able to make this folder.

    Args:
        path: of the folder.
        over_empty: whether it may be there already, with nothing in it.

    Raises:
        Taken: where the name is taken.
        InputError: where it cannot be a name.
        PolyceraError: where the disk does not take it.
    """
    paths.checked(path, "The run folder")
    empty = path.is_dir() and not paths.listed(path)
    if (path.exists() or path.is_symlink()) and not (over_empty and empty):
        raise Taken(
            f"The run folder {shorten(path)!r} already exists; choose another with --out, or remove it."
        )
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise InputError(
            f"The run folder {shorten(path)!r} cannot be made: {shorten(parent)!r} is a file."
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    except OSError as error:
        raise PolyceraError(
            f"Cannot write into the folder {shorten(parent)!r}: {error.strerror}; choose another with --out."
        ) from None


@contextmanager
def new_folder(path: Path, *, over_empty: bool = False) -> Iterator[Path]:
    """A folder that appears under its name only once everything in it is written.

    Args:
        path: of the folder.
        over_empty: whether it may be there already, with nothing in it.

    Raises:
        Taken: where the name is taken.
        PolyceraError: where the disk does not take it.
    """
    check_free(path, over_empty=over_empty)
    with new_parents(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=path.parent))
        except OSError as error:
            raise PolyceraError(
                f"Cannot make the folder {shorten(path)!r}: {error.strerror}."
            ) from None
        try:
            yield draft
            draft.chmod(0o777 & ~_umask())
            os.rename(draft, path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and path.exists():
                raise Taken(
                    f"Another training has taken the run folder {shorten(path)!r} meanwhile; choose another with --out."
                ) from None
            raise PolyceraError(
                f"Cannot write the folder {shorten(path)!r}: {error.strerror or error}."
            ) from None
        finally:
            discard(draft)


@contextmanager
def new_parents(path: Path) -> Iterator[None]:
    """Of the folders above, takes those away in the end that were not there and that nothing came into."""
    above = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in above:
            with suppress(OSError):
                folder.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
