"""Keep what another library must read from a file in a temporary one, for a while."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from polycera.errors import PolyceraError


@contextmanager
def file(chunks: Iterable[bytes | bytearray | memoryview], suffix: str = "") -> Iterator[Path]:
    """Yield the path of a temporary file of these bytes; it is removed at the end.

    Raises:
        PolyceraError: where the disk refuses it.
    """
    with folder() as place:
        path = place / f"table{suffix}"
        try:
            with open(path, "wb") as opened:
                for chunk in chunks:
                    opened.write(chunk)
        except OSError as error:
            raise PolyceraError(
                f"Cannot write a temporary file in {str(place.parent)!r}: {error.strerror}."
            ) from None
        yield path


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a temporary folder, which is removed at the end with everything in it."""
    with tempfile.TemporaryDirectory(prefix="polycera-", ignore_cleanup_errors=True) as place:
        yield Path(place)


@contextmanager
def named(path: Path, name: str) -> Iterator[Path]:
    """Yield a temporary file's path under another name beside it."""
    renamed = path.with_name(name)
    path.rename(renamed)
    yield renamed
