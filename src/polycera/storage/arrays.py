"""Named arrays in one file, sealed: what is read is what was written, or nothing.

The format is safetensors: a header of names, types, shapes and places, then the numbers. Into the
header go notes (any plain state, see `plain.py`) and a SHA-256 of the whole file, taken with its
own digits as zeros. Reading looks at the header first, then at the digest, and allocates an array
only when both are as they should be.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from polycera.errors import PolyceraError, shorten
from polycera.storage import atomic, state_json
from polycera.storage.safe_read import opened

SUFFIX = ".safetensors"

HEADER = 2**21
"""Bytes of a header at most: what JSON makes of as many stays under 64 MB, whatever they are."""

NOTES = "polycera"
"""The one entry of the header's metadata: the digest in 64 digits, a space, the notes as JSON."""

ZEROS = f'"{NOTES}":"{"0" * 64} '.encode()

TYPES = {"bool": "BOOL", "float16": "F16", "float32": "F32", "float64": "F64", "complex64": "C64"}
TYPES |= {
    f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}"
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""What safetensors calls the types of NumPy."""


class Damaged(PolyceraError):
    """A file that is not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"The file {path.name!r} in {shorten(path.parent)!r} is damaged or was changed: {why}."
        )


def write(path: Path, arrays: Mapping[str, np.ndarray], notes: Any = None) -> None:
    """Write arrays and notes as one file, all or nothing.

    Args:
        path: whose ending is `.safetensors`.
        arrays: of numbers, by name.
        notes: any state that `plain.split` takes; arrays in it go into the file too.

    Raises:
        PolyceraError: where the disk does not take it, or the notes are too long to be read again.
        TypeError: for notes that are no plain state, and for numbers that the format has no word
            for.
    """
    value, more = state_json.split(notes)
    named = {f"arrays/{name}": array for name, array in arrays.items()}
    named |= {f"notes{name}": array for name, array in more.items()}
    kinds = {name: array.dtype.name for name, array in named.items() if array.dtype.kind == "V"}
    # the largest numbers first, so that each is at a multiple of its size
    order = sorted(
        ((name, _plain_numbers(array)) for name, array in named.items()),
        key=lambda a: (-a[1].itemsize, a[0]),
    )
    header = _header(dict(order), msgspec.json.encode({"notes": value, "kinds": kinds}).decode())
    if len(header) - 8 > HEADER:
        raise PolyceraError(
            f"Cannot write {shorten(path)!r}: what is to be noted takes more than {HEADER} bytes."
        )
    parts = [array.reshape(-1).view("u1").data for _, array in order]
    digest = hashlib.sha256(header)
    for part in parts:
        digest.update(part)
    sealed = header.replace(ZEROS, ZEROS.replace(b"0" * 64, digest.hexdigest().encode()), 1)
    # as they lie in memory: to join them first costs as much as to write them
    atomic.write(path, sealed, *parts)


def _header(arrays: Mapping[str, np.ndarray], text: str) -> bytes:
    """What a safetensors file begins with: its length, then names, types, shapes and places, up to a multiple of 8."""
    found: dict[str, Any] = {"__metadata__": {NOTES: f"{'0' * 64} {text}"}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        if array.dtype.name not in TYPES:
            raise TypeError(f"{name.partition('/')[2]} is an array of {array.dtype}")
        found[name] = {
            "dtype": TYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    content = msgspec.json.encode(found)
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content


class StoredArrays:
    """A file of arrays, looked at and found whole; the arrays are read when they are asked for.

    Args:
        path: of the file.

    Attributes:
        shapes: name -> (shape, type), as the header announces them.

    Raises:
        Damaged: where any bit is not as it was written.
        PolyceraError: where it cannot be read, or is no plain file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = self._checked()
        with self._refused():
            noted = msgspec.json.decode(text, type=Noted)
            self._notes, self._kinds = noted.notes, noted.kinds
        self.shapes = {
            name.removeprefix("arrays/"): s
            for name, s in self._all.items()
            if name.startswith("arrays/")
        }

    @cached_property
    def notes(self) -> Any:
        """The notes, with the arrays in them."""
        with self._refused():
            return state_json.join(self._notes, self._read("notes"))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        with self._refused():
            return self._read("arrays/")

    def _read(self, start: str) -> dict[str, np.ndarray]:
        """Arrays by name; those of types that the format does not know come as bits, and are seen as their type."""
        import safetensors

        with safetensors.safe_open(self.path, "numpy") as file:
            found = {name: file.get_tensor(name) for name in self._all if name.startswith(start)}
        return {
            name.removeprefix(start): array.view(_borrowed(self._kinds[name]))
            if name in self._kinds
            else array
            for name, array in found.items()
        }

    def _checked(self) -> str:
        """The notes' text, once header and digest are seen to be right."""
        with opened(self.path) as (file, size):
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(HEADER, size - 8):
                raise Damaged(self.path, "its header is cut off, or too long")
            header = file.read(length)
            with self._refused():
                texts = msgspec.json.decode(header, type=Header).texts
                written, _, text = texts[NOTES].partition(" ")
                if len(texts) > 1 or len(written) != 64:
                    raise ValueError("its header lacks what polycera writes there")
                # shapes that are not this file's are refused before it is digested
                self._all = self._announced()
            mine = ZEROS.replace(b"0" * 64, written.encode())
            digest = hashlib.sha256(start + header.replace(mine, ZEROS, 1))
            while chunk := file.read(2**20):
                digest.update(chunk)
        if digest.hexdigest() != written:
            raise Damaged(self.path, "its digest is another")
        return text

    def _announced(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Name -> (shape, type) of what exactly fills the file."""
        import safetensors

        with safetensors.safe_open(self.path, "numpy") as file:
            places = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {name: (tuple(p.get_shape()), str(p.get_dtype())) for name, p in places.items()}

    def _refused(self) -> Any:
        return _Refused(self.path)


class Header(msgspec.Struct):
    """The part of a safetensors header that is text."""

    texts: dict[str, str] = msgspec.field(name="__metadata__")


class Noted(msgspec.Struct):
    """What polycera writes into it: notes of any kind, and the types that safetensors does not know."""

    notes: Any
    kinds: dict[str, str]


class _Refused:
    """Whatever a library says of a file that it cannot read, as one sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, Damaged):
            raise Damaged(self.path, shorten(" ".join(str(error).split()), 120)) from None


def _borrowed(name: str) -> np.dtype[Any]:
    """A type that NumPy borrows from elsewhere, such as bfloat16; no other is written by its name."""
    kind = np.dtype(name) if re.fullmatch(r"[a-z0-9_]{1,30}", name) else None
    if kind is None or kind.kind != "V" or kind.names is not None or kind.subdtype is not None:
        raise ValueError(f"it announces numbers of the type {shorten(name)!r}")
    return kind


def _plain_numbers(array: np.ndarray) -> np.ndarray:
    """An array as the library takes it; types of two bytes or one that NumPy only borrows, as their bits."""
    array = np.ascontiguousarray(array).reshape(array.shape)  # it makes [1] of []
    if array.dtype.kind != "V":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array
