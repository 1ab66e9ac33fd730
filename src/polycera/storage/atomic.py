"""Write files and folders whole or not at all; no other module opens a file for writing."""

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

from polycera.errors import InputError, PolyceraError, Taken, shorten
from polycera.storage import paths


def write(path: Path, *parts: bytes | bytearray | memoryview) -> None:
    """Write a file through a temporary one beside it, so that readers see old or new content.

    Args:
        path: path of the file.
        *parts: its content, one part after the other.

    Raises:
        PolyceraError: where the disk or the folder refuses it; the old file is untouched.
    """
    with _refused(path, f" ({sum(map(len, parts))} bytes)"), _beside(path) as temporary:
        with open(temporary, "xb") as file:
            file.writelines(parts)
        _settled(temporary, path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for code that writes files itself; rename it to `path` at the end.

    Raises:
        PolyceraError: where the disk or the folder refuses it; the old file is untouched.
    """
    with _refused(path), _beside(path) as temporary:
        yield temporary
        _settled(temporary, path)


@contextmanager
def _refused(path: Path, size: str = "") -> Iterator[None]:
    """Turn errors of the system into a PolyceraError of one sentence."""
    try:
        yield
    except OSError as error:
        raise PolyceraError(
            f"Cannot write {shorten(path)!r}{size}: {error.strerror or error}."
        ) from None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside the file, and remove whatever is left there at the end."""
    # The thread is part of the name, because two threads may write the same file. The name keeps
    # its ending, because some libraries choose the format by it.
    writer = f"{os.getpid()}.{threading.get_native_id()}"
    temporary = path.with_name(f".{writer}.{path.name[-100:]}")
    # A link of this name may be in the folder; it must not be followed.
    with suppress(OSError):
        temporary.unlink()
    try:
        yield temporary
    finally:
        # After a success it has been renamed; after a refusal it may never have existed.
        with suppress(OSError):
            temporary.unlink()


def _settled(temporary: Path, path: Path) -> None:
    """Flush the content to the disk, then rename: after a power failure the file is old or new."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if hasattr(os, "O_DIRECTORY"):  # on other systems a folder cannot be opened
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def make_folder(path: Path) -> None:
    """Make a folder within a run, unless it exists.

    Raises:
        PolyceraError: where the disk refuses it.
    """
    with _refused(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file or an empty folder, if it exists."""
    with suppress(OSError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def discard(folder: Path) -> None:
    """Remove a folder of ours with everything in it."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder.

    No other process may be writing there.
    """
    for path in paths.listed(folder):
        if is_half(path):
            remove(path)


def is_half(path: Path) -> bool:
    """Return whether a file's name is that of a temporary file, as `write` makes them."""
    return re.match(r"\.\d+\.", path.name) is not None


def check_free(path: Path, *, over_empty: bool = False) -> None:
    """Check, before any work is done, that `new_folder` will be able to make this folder.

    Args:
        path: path of the folder.
        over_empty: whether an empty folder of this name is accepted.

    Raises:
        Taken: where the name is in use.
        InputError: where it cannot be a name.
        PolyceraError: where the disk refuses it.
    """
    paths.checked(path, "The run folder")
    empty = path.is_dir() and not paths.listed(path)
    if (path.exists() or path.is_symlink()) and not (over_empty and empty):
        raise Taken(
            f"The run folder {shorten(path)!r} already exists; "
            "choose another with --out, or remove it."
        )
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise InputError(
            f"The run folder {shorten(path)!r} cannot be made: {shorten(parent)!r} is a file."
        )
    # Make a folder to find out: permissions alone do not tell whether the system allows it.
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".unfinished-", dir=parent))
    except OSError as error:
        raise PolyceraError(
            f"Cannot write into the folder {shorten(parent)!r}: {error.strerror}; "
            "choose another with --out."
        ) from None


@contextmanager
def new_folder(path: Path, *, over_empty: bool = False) -> Iterator[Path]:
    """Yield a draft folder, which gets its name only when everything in it has been written.

    Args:
        path: path of the folder.
        over_empty: whether an empty folder of this name is accepted.

    Raises:
        Taken: where the name is in use.
        PolyceraError: where the disk refuses it.
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
            # mkdtemp makes a folder for its owner only; a run has the usual permissions.
            draft.chmod(0o777 & ~_umask())
            os.rename(draft, path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and path.exists():
                raise Taken(
                    f"Another training created the run folder {shorten(path)!r} in the meantime; "
                    "choose another with --out."
                ) from None
            raise PolyceraError(
                f"Cannot write the folder {shorten(path)!r}: {error.strerror or error}."
            ) from None
        finally:
            discard(draft)


@contextmanager
def new_parents(path: Path) -> Iterator[None]:
    """Remove at the end those parent folders that did not exist before and are still empty."""
    above = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in above:
            with suppress(OSError):
                folder.rmdir()


def _umask() -> int:
    # The system returns the mask only when it is set.
    mask = os.umask(0)
    os.umask(mask)
    return mask
