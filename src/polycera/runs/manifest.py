"""Write and check the manifest of a run: size and checksum of every file, so changes are found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import Damaged, PolyceraError, shorten
from polycera.storage import atomic, safe_read

MANIFEST = "manifest.json"
"""File name of the manifest."""

SIZE = 2**16
"""Most bytes of a manifest: a run has about a dozen files and 16 kept epochs."""

VERSION = 2
"""Version of the manifest's format. Version 1 does not list the kept epochs."""

BASIS = ("spec.yaml", "schema.json")
"""Files that identify a run: the training's spec, and the schema with the checksum of the rows."""

CHANGED = "checksum mismatch: the file was changed or damaged"
"""Reason given where a checksum does not match."""


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """Describes a file at the time it was written.

    Attributes:
        bytes: its size.
        sha256: its SHA-256 in hexadecimal.
    """

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Lists the files of a run.

    Attributes:
        files: path within the run -> size and checksum.
        sha256: checksum of the entries and the version.
        version: version of the manifest's format.
    """

    files: dict[str, Entry]
    sha256: str
    version: int = 1


def page(values: Any) -> bytes:
    """Return plain values as indented JSON, checked to be readable again.

    Raises:
        PolyceraError: where it is larger than `safe_read.json` accepts.
    """
    text = msgspec.json.format(msgspec.json.encode(values), indent=1)
    try:
        safe_read.json(text)
    except ValueError as error:
        raise PolyceraError(
            f"The values to write about the run could not be read back: {error}."
        ) from None
    return text


def add(folder: Path, names: Iterable[str]) -> None:
    """Write the manifest with entries for these files; entries for other files stay as they are.

    Raises:
        PolyceraError: where a file cannot be read, or the disk refuses the manifest.
    """
    old = manifest(folder) if (folder / MANIFEST).exists() else Manifest({}, "", VERSION)
    files = dict(old.files)
    for name in names:
        files[name] = measured(folder / name)
    new = Manifest(files, _digest(files, old.version), old.version)
    atomic.write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(new), indent=1))


def entries(folder: Path) -> dict[str, Entry]:
    """Return the entries of the manifest: path within the run -> size and checksum.

    Raises:
        Damaged: where the manifest was changed.
    """
    return manifest(folder).files


def identity(folder: Path) -> str:
    """Return the identity of a run: a checksum of its spec and schema, independent of the clock.

    Kept epochs and checkpoints store it, so that those of another run are refused.

    Raises:
        Damaged: where the manifest was changed, or lacks the spec or the schema.
    """
    files = entries(folder)
    if not all(name in files for name in BASIS):
        raise Damaged(folder / MANIFEST, f"it lacks {' or '.join(BASIS)}")
    return hashlib.sha256("".join(files[name].sha256 for name in BASIS).encode()).hexdigest()


def manifest(folder: Path) -> Manifest:
    """Return the manifest of a run.

    The file is read each time, as another process may have changed it, and parsed once.

    Raises:
        Damaged: where it was changed.
    """
    path = folder / MANIFEST
    text = safe_read.content(path, SIZE)
    try:
        listed = _parsed(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(path, shorten(str(error))) from None
    if listed is None:
        raise Damaged(path, CHANGED)
    return listed


@lru_cache(maxsize=16)
def _parsed(text: bytes) -> Manifest | None:
    """Return the manifest that a text holds, which nobody may change; None for a wrong checksum."""
    listed = msgspec.json.decode(text, type=Manifest)
    # The text is compared as well: a change that decodes to the same values is still a change.
    if listed.sha256 != _digest(listed.files, listed.version) or text != msgspec.json.format(
        msgspec.json.encode(listed), indent=1
    ):
        return None
    return listed


def content(folder: Path, name: str, limit: int = safe_read.SIZE) -> bytes:
    """Return the content of a text file of a run, checked against the manifest.

    Raises:
        PolyceraError: where it cannot be read, is longer than the limit in bytes, or does not match
            the manifest.
    """
    entry = _entry(folder, name)
    text = safe_read.content(folder / name, min(entry.bytes, limit))
    if hashlib.sha256(text).hexdigest() != entry.sha256:
        raise Damaged(folder / name, CHANGED)
    return text


def check(folder: Path, name: str) -> None:
    """Check a file of any size against the manifest, reading it in chunks.

    Raises:
        PolyceraError: where it cannot be read, or does not match the manifest.
    """
    entry = _entry(folder, name)
    # The size goes first: a difference is found without reading the file.
    with safe_read.opened(folder / name) as (_, size):
        if size != entry.bytes:
            raise Damaged(folder / name, f"it has {size} bytes, and {entry.bytes} were written")
    if measured(folder / name) != entry:
        raise Damaged(folder / name, CHANGED)


def _entry(folder: Path, name: str) -> Entry:
    listed = entries(folder)
    if name not in listed:
        raise Damaged(folder / MANIFEST, f"it does not name the file {name}")
    return listed[name]


def measured(path: Path) -> Entry:
    """Return the size and checksum of a file.

    Raises:
        PolyceraError: where it cannot be read.
    """
    with safe_read.opened(path) as (file, _):
        digest = hashlib.file_digest(file, "sha256")
        return Entry(file.tell(), digest.hexdigest())


def _digest(files: dict[str, Entry], version: int) -> str:
    # Version 1 did not include its version in the checksum.
    values: Any = files if version == 1 else [version, files]
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()
