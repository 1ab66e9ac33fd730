"""Damage files: flip a bit, cut an end, fill the disk. benchmarks/faults.py does the same."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager


def flipped(content: bytes, draw: random.Random) -> bytes:
    """With one bit turned over."""
    bit = draw.randrange(8 * len(content))
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Without its end."""
    return content[: draw.randrange(len(content))]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """A file that grows beyond this many bytes gets an error, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
