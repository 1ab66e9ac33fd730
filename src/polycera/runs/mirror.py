"""Keep a run folder in a remote store: a folder here is trained into, and copied there.

A store has no rename that is atomic, so the manifest is copied last: whoever opens the address
before that finds the run as it was, or a training that goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from polycera.runs import manifest
from polycera.storage import lock, paths, remote

P = ParamSpec("P")
R = TypeVar("R")

ADDRESSES: dict[str, str] = {}
"""Folder here -> address of its copy, for messages."""


class Mirror:
    """Copy a run folder to an address: what changed, the manifest last.

    There is no lock in a store: two trainings into one address are not noticed.

    Args:
        address: address of the run, such as s3://bucket/runs/customers-1.

    Attributes:
        folder: the folder here; it does not exist where the address has nothing.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._sent: dict[str, tuple[int, int]] = {}
        names = remote.listed(self.address)
        here = remote.fetched(self.address) if names else remote.new_folder()
        # The folder is named as the run is; where nothing was fetched it must not exist yet.
        self.folder = here / remote.name_of(self.address) if not names else here
        ADDRESSES[str(self.folder)] = self.address
        self._there = set(names)

    @classmethod
    def of(cls, out: Any) -> Self | None:
        """Return the mirror of a run folder that is an address; None for a folder here."""
        return cls(out) if remote.is_address(out) else None

    def send(self) -> None:
        """Copy what changed since the last time, and remove what is gone.

        Raises:
            PolyceraError: where the store refuses.
        """
        names = [name for name in paths.all_within(self.folder) if not name.endswith("/")]
        names = [name for name in names if Path(name).name != lock.LOCK]
        names.sort(key=lambda name: (name == manifest.MANIFEST, name))
        for name in names:
            status = (self.folder / name).stat()
            state = status.st_mtime_ns, status.st_size
            if self._sent.get(name) != state:
                remote.sent(self.folder / name, f"{self.address}/{name}")
                self._sent[name] = state
        remote.removed(self.address, sorted(self._there - set(names)))
        self._there = set(names)


def run_folder(path: str | Path) -> Path:
    """Return the folder of a run; a run in a remote store is copied here first, to be read.

    Raises:
        InputError: where the address has nothing.
    """
    if not remote.is_address(path):
        return Path(path)
    folder = remote.fetched(str(path))
    ADDRESSES[str(folder)] = str(path).rstrip("/")
    return folder


def shown(path: str | Path) -> str:
    """Return how a run folder is called in messages: the address of one in a remote store."""
    return ADDRESSES.get(str(path), str(path))


def named(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that its errors name the address of a run, not the folder here."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            for folder, address in ADDRESSES.items():
                error.args = tuple(
                    part.replace(folder, address) if isinstance(part, str) else part
                    for part in error.args
                )
            raise

    return call
