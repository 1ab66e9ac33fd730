"""Check paths that a user gave, and list folders; a system error becomes one sentence."""

from __future__ import annotations

import os
from pathlib import Path

from polycera.errors import InputError, PolyceraError, shorten


def checked(path: str | Path, what: str = "The path") -> Path:
    """Return a path that the system can look up, whether or not it exists.

    Args:
        path: the path as the user gave it.
        what: what the path is, for error messages.

    Raises:
        InputError: for a name that is too long or contains a NUL character, and where a parent
            folder may not be entered.
    """
    if why := _refused(path):
        raise InputError(f"{what} {shorten(str(path))!r} cannot be used: {why}.")
    return Path(path)


def _refused(path: str | Path) -> str | None:
    """Return why the system cannot look up a path; None where it can, even if nothing is there."""
    if "\0" in str(path):
        return "it holds a NUL character, which no name of a file may"
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


def listed(folder: Path) -> list[Path]:
    """Return the paths in a folder, sorted by name; an empty list where the folder does not exist.

    Raises:
        PolyceraError: where it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PolyceraError(
            f"Cannot read the folder {shorten(folder)!r}: {error.strerror}."
        ) from None


def within(folder: Path, path: Path) -> str:
    """Return the path of a file relative to a folder, with slashes, as a manifest names it."""
    return path.relative_to(folder).as_posix()


def all_within(folder: Path) -> list[str]:
    """Return all files and links in a folder and below it; empty folders end with a slash.

    Raises:
        PolyceraError: where a folder cannot be read.
    """
    names = []
    for path in listed(folder):
        inner = all_within(path) if path.is_dir() and not path.is_symlink() else None
        names += (
            [f"{path.name}/{name}" for name in inner]
            if inner
            else [path.name + "/" * (inner == [])]
        )
    return names


def check_output(path: Path, *, allowed: str = "") -> None:
    """Raise where a path is inside a run: a run's files are its own and listed in its manifest.

    Args:
        path: path of the file to be written.
        allowed: a file name that may be written there.

    Raises:
        InputError: where the folder, or one above it, is a run, and for a path that cannot be used.
    """
    if why := _refused(path):
        raise InputError(f"Cannot write {shorten(str(path))!r}: {why}.")
    for folder in path.resolve().parents:
        if (folder / "manifest.json").is_file() and (folder / "spec.yaml").is_file():
            if path.resolve() == folder / allowed and allowed:
                return
            raise InputError(
                f"Cannot write {shorten(path)!r}: {shorten(folder)!r} is a run folder, which "
                "holds nothing but the run's own files; choose a path outside of it."
            )
