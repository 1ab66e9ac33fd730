"""The manifest of a run: all its files, how long each is and its checksum, so that no change goes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import PolyceraError, shorten
from polycera.storage import atomic, safe_read
from polycera.storage.arrays import Damaged

MANIFEST = "manifest.json"

SIZE = 2**16
"""Bytes of a manifest at most: a run has a dozen files, and 16 kept epochs."""

VERSION = 2
"""Of the manifest. In version 1 the kept epochs had no entries."""

BASIS = ("spec.yaml", "schema.json")
"""What a run is: the training that was asked for, and the table with the checksum of its rows."""

CHANGED = "its checksum is another"


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A file as it was written.

    Attributes:
        bytes: its length.
        sha256: its digest, in hexadecimal.
    """

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """All files of a run.

    Attributes:
        files: path within the run -> what was written.
        sha256: of the entries themselves, and of the version.
        version: of the manifest.
    """

    files: dict[str, Entry]
    sha256: str
    version: int = 1


def page(values: Any) -> bytes:
    """Plain values as JSON that a person can read, and that can be read again.

    Raises:
        PolyceraError: where there is more of it than `reading.json` takes.
    """
    text = msgspec.json.format(msgspec.json.encode(values), indent=1)
    try:
        safe_read.json(text)
    except ValueError as error:
        raise PolyceraError(
            f"What is to be noted of the run cannot be read again: {error}."
        ) from None
    return text


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write the manifest of these files; those of the manifest that was there stay in it.

    Raises:
        PolyceraError: where a file cannot be read, or the disk does not take the manifest.
    """
    there = manifest(folder) if (folder / MANIFEST).exists() else Manifest({}, "", VERSION)
    files = dict(there.files)
    for name in names:
        files[name] = measured(folder / name)
    found = Manifest(files, _digest(files, there.version), there.version)
    atomic.write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(found), indent=1))


def entries(folder: Path) -> dict[str, Entry]:
    """Return the files of a run as they were written.

    Raises:
        Damaged: where the manifest is not as it was written.
    """
    return manifest(folder).files


def identity(folder: Path) -> str:
    """Return what a run is known by: its spec and its table, and nothing that depends on the clock.

    Kept epochs and checkpoints say it, so that those of another run are refused.

    Raises:
        Damaged: where the manifest is not as it was written, or lacks the spec or the schema.
    """
    files = entries(folder)
    if not all(name in files for name in BASIS):
        raise Damaged(folder / MANIFEST, f"it lacks {' or '.join(BASIS)}")
    return hashlib.sha256("".join(files[name].sha256 for name in BASIS).encode()).hexdigest()


def manifest(folder: Path) -> Manifest:
    """Return the manifest of a run.

    Raises:
        Damaged: where it is not as it was written.
    """
    path = folder / MANIFEST
    text = safe_read.content(path, SIZE)
    try:
        found = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(path, shorten(str(error))) from None
    if found.sha256 != _digest(found.files, found.version) or text != msgspec.json.format(
        msgspec.json.encode(found), indent=1
    ):
        raise Damaged(path, CHANGED)
    return found


def content(folder: Path, name: str, limit: int = safe_read.SIZE) -> bytes:
    """A file of a run that is a text, as it was written.

    Raises:
        PolyceraError: where it cannot be read, is longer than the limit in bytes, or is not as the
            manifest says.
    """
    known = _known(folder, name)
    found = safe_read.content(folder / name, min(known.bytes, limit))
    if hashlib.sha256(found).hexdigest() != known.sha256:
        raise Damaged(folder / name, CHANGED)
    return found


def check(folder: Path, name: str) -> None:
    """Hold a file of any length against the manifest, a piece at a time.

    Raises:
        PolyceraError: where it cannot be read, or is not as the manifest says.
    """
    known = _known(folder, name)
    with safe_read.opened(folder / name) as (_, size):
        if size != known.bytes:
            raise Damaged(folder / name, f"it has {size} bytes, and {known.bytes} were written")
    if measured(folder / name) != known:
        raise Damaged(folder / name, CHANGED)


def _known(folder: Path, name: str) -> Entry:
    known = entries(folder)
    if name not in known:
        raise Damaged(folder / MANIFEST, f"it does not know the file {name}")
    return known[name]


def measured(path: Path) -> Entry:
    """Return the length and the checksum of a file.

    Raises:
        PolyceraError: where it cannot be read.
    """
    with safe_read.opened(path) as (file, _):
        digest = hashlib.file_digest(file, "sha256")
        return Entry(file.tell(), digest.hexdigest())


def _digest(files: dict[str, Entry], version: int) -> str:
    values: Any = files if version == 1 else [version, files]
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()
