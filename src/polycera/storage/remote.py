"""Bring files of a remote store here and back: s3://, gs://, https:// and what fsspec knows."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from polycera.errors import InputError, MissingExtra, PolyceraError, shorten

ADDRESS = re.compile(r"(?!file:|duckdb:|postgres(?:ql)?:)[a-z][a-z0-9+.-]*://")
"""The beginning of an address that fsspec opens; files here and databases are opened elsewhere."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Kind of store -> package by which fsspec reaches it."""


def is_address(source: object) -> bool:
    """Return whether a source is the address of something in a remote store.

    Examples:
        >>> is_address("s3://shop/customers.csv"), is_address("customers.csv")
        (True, False)
    """
    return isinstance(source, str) and ADDRESS.match(source) is not None


def name_of(address: str) -> str:
    """Return the last part of an address, without what follows a question mark.

    Examples:
        >>> name_of("https://example.org/data/customers.csv?raw=1")
        'customers.csv'
    """
    path = address if "*" in address else urlsplit(address).path or urlsplit(address).netloc
    return path.rstrip("/").rpartition("/")[2]


def fetched(address: str) -> Path:
    """Copy a file, a folder or the files of a pattern here; return where they are.

    The copy lives as long as the process. Folders below keep their names.

    Raises:
        InputError: where there is nothing, or the store refuses.
        MissingExtra: where fsspec, or its package for this store, is not installed.
    """
    with _refused(address, "read"):
        store, path = _store(address)
        here = new_folder()
        if "*" in path:
            found, base = store.glob(path), path.partition("*")[0].rpartition("/")[0]
        elif store.isfile(path):
            target = here / name_of(address)
            store.get_file(path, str(target))
            return target
        else:
            found, base = store.find(path), path.rstrip("/")
        if not found:
            raise InputError(f"There is nothing at {shorten(address)!r}.")
        for file in found:
            target = here / _below(base, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(file, str(target))
        return here


def new_folder() -> Path:
    """Return a new temporary folder, which lives as long as the process."""
    return Path(tempfile.mkdtemp(dir=_home()))


def sent(path: Path, address: str) -> None:
    """Copy a file from here to an address.

    Raises:
        PolyceraError: where the store refuses.
        MissingExtra: as `fetched`.
    """
    with _refused(address, "write"):
        store, target = _store(address)
        try:
            store.put_file(str(path), target)
        except FileNotFoundError:
            # Some stores have folders, which must be made. Not before: S3 would make a bucket.
            if "s3" in store.protocol:
                raise
            store.makedirs(target.rpartition("/")[0], exist_ok=True)
            store.put_file(str(path), target)


def listed(address: str) -> dict[str, int]:
    """Return the files below an address with their sizes; empty where there is nothing."""
    with _refused(address, "read"):
        store, path = _store(address)
        base = path.rstrip("/")
        try:
            found = store.find(base, detail=True)
        except FileNotFoundError:
            return {}
        return {_below(base, file): int(entry["size"] or 0) for file, entry in found.items()}


def removed(address: str, names: Sequence[str]) -> None:
    """Remove files below an address."""
    if not names:
        return
    with _refused(address, "write"):
        store, path = _store(address)
        for name in names:
            store.rm_file(f"{path.rstrip('/')}/{name}")


def _store(address: str) -> tuple[Any, str]:
    """Return fsspec's store of an address, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtra("Reaching a remote store", "fsspec", "remote") from None
    store, path = fsspec.core.url_to_fs(address)
    # Another process may have written there since the store was last listed.
    store.invalidate_cache()
    return store, str(path)


@contextmanager
def _refused(address: str, action: str) -> Iterator[None]:
    """Turn errors of a store into one sentence."""
    try:
        yield
    except PolyceraError:
        raise
    except ImportError:
        scheme = address.partition("://")[0]
        raise MissingExtra(
            f"Reaching {scheme}://", PACKAGES.get(scheme, "fsspec"), "remote"
        ) from None
    except FileNotFoundError:
        if action == "write":
            raise PolyceraError(
                f"Cannot write {shorten(address)!r}: there is no such bucket."
            ) from None
        raise InputError(f"There is nothing at {shorten(address)!r}.") from None
    # Each store has errors of its own, which have no common base.
    except Exception as error:
        reason = shorten(next(iter(str(error).splitlines()), "") or type(error).__name__, 200)
        kind = InputError if action == "read" else PolyceraError
        raise kind(f"Cannot {action} {shorten(address)!r}: {reason.rstrip('.')}.") from None


def _below(base: str, path: str) -> str:
    """Return a path relative to the folder that it is in; raise where it points elsewhere."""
    name = path.removeprefix(base).lstrip("/")
    if ".." in name.split("/"):
        raise InputError(f"The store names a file {shorten(path)!r}, which is no place for one.")
    return name


@cache
def _home() -> str:
    """Return a temporary folder of this process, which is removed when the process ends."""
    home = tempfile.mkdtemp(prefix="polycera-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
