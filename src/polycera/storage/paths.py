"""Paths as a user names them: what the system says of one that it cannot use, as one sentence."""

from __future__ import annotations

import os
from pathlib import Path

from polycera.errors import InputError, PolyceraError, shorten


def checked(path: str | Path, what: str = "The path") -> Path:
    """Return a path that the system can look up, whether or not something is there.

    Args:
        path: as the user gave it.
        what: it is, for the sentence of an error.

    Raises:
        InputError: for a name that is too long or holds a NUL character, and where a folder above
            does not let us in.
    """
    if why := _refused(path):
        raise InputError(f"{what} {shorten(str(path))!r} cannot be used: {why}.")
    return Path(path)


def _refused(path: str | Path) -> str | None:
    """Say why the system cannot look up a path; None where it can, whether or not something is there."""
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
    """Return what is in a folder, in the order of names; nothing where there is no folder.

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
    """Return the path of a file within a folder as a manifest names it."""
    return path.relative_to(folder).as_posix()


def all_within(folder: Path) -> list[str]:
    """Return every file and link in a folder and in those below it, and each folder that is empty.

    Raises:
        PolyceraError: where a folder cannot be read.
    """
    found = []
    for path in listed(folder):
        inner = all_within(path) if path.is_dir() and not path.is_symlink() else None
        found += (
            [f"{path.name}/{name}" for name in inner]
            if inner
            else [path.name + "/" * (inner == [])]
        )
    return found


def check_output(path: Path, *, allowed: str = "") -> None:
    """Refuse to write into the folder of a run, whose files are its own and stand in its manifest.

    Args:
        path: of the file that is to be written.
        allowed: a name that may be written there.

    Raises:
        InputError: where the folder, or one above it, is a run; for a path that cannot be used.
    """
    if why := _refused(path):
        raise InputError(f"Cannot write {shorten(str(path))!r}: {why}.")
    for folder in path.resolve().parents:
        if (folder / "manifest.json").is_file() and (folder / "spec.yaml").is_file():
            if path.resolve() == folder / allowed and allowed:
                return
            raise InputError(
                f"Cannot write {shorten(path)!r}: {shorten(folder)!r} is a run, and the files of a run are its own; "
                "choose a name outside of it."
            )
