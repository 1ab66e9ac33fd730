"""A PostgreSQL server of the tests' own, in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = next((str(folder / name) for folder in folders if (folder / name).exists()), None)
    found = found or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install postgresql")
    return found


@contextmanager
def server() -> Iterator[str]:
    """Yields the address of a database of an empty server, which listens on a socket only."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    # A socket's path may have 100 characters, so it is not in pytest's own folder.
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    # The server refuses to run as root.
    user = "nobody" if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(home, user)

    def call(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=home, stdout=subprocess.DEVNULL)

    data = home / "data"
    try:
        call(initdb, "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-k {home} -h '' -F"
        call(pg_ctl, "-D", str(data), "-o", options, "-l", str(home / "log"), "-w", "start")
        try:
            yield f"postgresql://tester@/postgres?host={home}"
        finally:
            call(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
